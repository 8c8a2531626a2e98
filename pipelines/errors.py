"""The errors that end a command, told apart by who has to do something about them."""

from __future__ import annotations

DONE, FAILED, WRONG, TOO_MANY_DEAD = 0, 1, 2, 3
"""Exit codes: done; the job failed; the job file or the arguments are wrong; too many dead letters."""


class OutputError(ValueError):
    """The output folder cannot be used; one line that says why and what to do."""


class JobFailedError(RuntimeError):
    """The job began but could not end; the message is the cause in one line."""
