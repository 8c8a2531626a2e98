"""Decides: what a record is, which model answers it, whether the answer is trusted, what it costs.

No Beam, no network.
"""
