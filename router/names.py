"""Names that models of a job may not have, because something else answers under them."""

from __future__ import annotations

STUDENT = "student"
"""What the linear head that answers ahead of the small models is called (`router.student`)."""

JUDGE = "judge"
"""Under which name verdicts are given and paid for (`router.judge`)."""
