"""What all commands share: the job file with its options, and how errors are told."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import CHATTY, FAILED, WRONG, JobFailedError
from transforms.llm_access import LlmStop

if TYPE_CHECKING:
    from router.job import Job

Sets = Annotated[
    list[str], typer.Option("--set", help="Value for ${NAME} in the job file.", metavar="NAME=VALUE")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Beam's log, and tracebacks of errors.")]


def load(job_file: str, sets: list[str], input_path: str | None, output_path: str | None) -> Job:
    """The job of a file, with what the command line says otherwise. Raises what `load_job` raises."""
    from router.job_loading import apply_overrides, load_job, parse_sets  # noqa: PLC0415 - `--help` needs none

    job = load_job(job_file, sets=parse_sets(sets), read=_read)
    return apply_overrides(job, input_path=input_path, output_path=output_path)


def _read(url: str) -> bytes:
    from transforms.files import read_file  # noqa: PLC0415 - only jobs with packs and schemas of their own

    return read_file(url)


@contextlib.contextmanager
def errors(*, verbose: bool) -> Iterator[None]:
    """Turn expected errors into a line on stderr and an exit code; keep other libraries quiet."""
    _set_logging(verbose=verbose)
    try:
        yield
    except typer.Exit:
        raise
    except KeyboardInterrupt:
        _say("stopped")
        raise typer.Exit(FAILED) from None
    except (ValueError, OSError, LlmStop, JobFailedError) as error:
        _tell(error, str(error), verbose=verbose)
        raise typer.Exit(FAILED if isinstance(error, JobFailedError) else WRONG) from error
    except Exception as error:
        # The last line of defence: a bug is one line too, and the traceback there for those who ask.
        said = f"{type(error).__name__}: {error}; this is a bug: please report it with what --verbose shows"
        _tell(error, said, verbose=verbose)
        raise typer.Exit(FAILED) from error


def _tell(error: Exception, said: str, *, verbose: bool) -> None:
    if verbose:
        traceback.print_exception(error)
    _say(said)


def _say(message: str) -> None:
    typer.echo("\n".join(f"tekizai: {line}" for line in message.splitlines()), err=True)


def _set_logging(*, verbose: bool) -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stderr)
    # Beam logs a traceback for every error; the user gets one line, which `_errors` writes.
    logging.getLogger().setLevel(logging.INFO if verbose else logging.CRITICAL)
    for name in ("pipelines", "transforms", "router"):
        logging.getLogger(name).setLevel(logging.INFO)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    if not verbose:
        warnings.simplefilter("ignore")
