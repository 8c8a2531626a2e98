"""The errors that end a command, told apart by who has to do something about them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from transforms.splits import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE, FAILED, WRONG, TOO_MANY_DEAD = 0, 1, 2, 3
"""Exit codes: done; the job failed; the job file or the arguments are wrong; too many dead letters."""


CHATTY = ("httpx", "httpx2", "httpcore")
"""Loggers that tell of every request, even where it is answered."""


class OutputError(ValueError):
    """The output folder cannot be used; one line that says why and what to do."""


class JobFailedError(RuntimeError):
    """The job began but could not end; the message is the cause in one line."""


class OutputHeldError(JobFailedError):
    """Another run writes to the output: no mistake in the command, which may do its work later."""


@contextlib.contextmanager
def writing_to(output: str) -> Iterator[None]:
    """Turn whatever goes wrong with an output folder into an `OutputError`."""
    try:
        yield
    except (OutputError, OutputHeldError):
        raise
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        raise OutputError(
            f"output.path: {output} cannot be written ({one_line(error)}); choose another folder, or check "
            "the address and the credentials"
        ) from error
