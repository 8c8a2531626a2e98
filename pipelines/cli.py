"""The `tekizai` command."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipelines.errors import FAILED, WRONG, JobFailedError
from router.job_loading import apply_overrides, job_schema, load_job, parse_sets
from transforms.llm_access import LlmStop

if TYPE_CHECKING:
    from router.job import Job

app = typer.Typer(
    name="tekizai",
    help="Label large text datasets with small models on CPU; ask a large one only about the hard records.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

JobFile = Annotated[str, typer.Argument(help="The job file (YAML).", metavar="JOB.yaml")]
Sets = Annotated[
    list[str], typer.Option("--set", help="Value for ${NAME} in the job file.", metavar="NAME=VALUE")
]
BeamOptions = Annotated[
    list[str] | None, typer.Argument(help="After --: options for Beam.", metavar="[-- BEAM OPTIONS]")
]
InputPath = Annotated[str | None, typer.Option("--input", help="Read this URL instead.")]
OutputPath = Annotated[str | None, typer.Option("--output", help="Write to this folder instead.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace what is in the output.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Beam's log, and tracebacks of errors.")]


@app.command()
def run(  # noqa: PLR0917 - typer passes them by name
    job_file: JobFile,
    beam_options: BeamOptions = None,
    input_path: InputPath = None,
    output_path: OutputPath = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Annotate only the first N records.")] = None,
    fresh: Fresh = False,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Annotate a dataset as the job file says."""
    with _errors(verbose=verbose):
        from pipelines.commands import run_job  # noqa: PLC0415 - takes seconds, and Beam logs as it loads

        code = run_job(
            _load(job_file, sets, input_path, output_path),
            beam_options or [],
            limit=limit,
            fresh=fresh,
            console=Console(stderr=True),
        )
    raise typer.Exit(code)


@app.command()
def calibrate(  # noqa: PLR0917 - typer passes them by name
    job_file: JobFile,
    beam_options: BeamOptions = None,
    input_path: InputPath = None,
    output_path: OutputPath = None,
    fresh: Fresh = False,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Certify the gate of a job and leave the calibration for later jobs. Annotates nothing."""
    with _errors(verbose=verbose):
        from pipelines.commands import calibrate_job  # noqa: PLC0415 - see `run`

        job = _load(job_file, sets, input_path, output_path)
        calibrate_job(job, beam_options or [], fresh=fresh, console=Console(stderr=True))


@app.command()
def check(
    job_file: JobFile,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Check a job file, and that its input, models and keys are there. Asks no model."""
    with _errors(verbose=verbose):
        from pipelines.commands import check_job  # noqa: PLC0415 - see `run`

        check_job(_load(job_file, sets, None, None), Console(stderr=True))


@app.command()
def report(
    output: Annotated[str, typer.Argument(help="The output folder of a finished job.", metavar="OUTPUT")],
    verbose: Verbose = False,
) -> None:
    """Write report.html of a finished output anew, from its summary and review files."""
    with _errors(verbose=verbose):
        from pipelines.commands import report_output  # noqa: PLC0415 - see `run`

        report_output(output, Console(stderr=True))


@app.command()
def evaluate(
    output: Annotated[str, typer.Argument(help="The output folder of a finished job.", metavar="OUTPUT")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")] = False,
    verbose: Verbose = False,
) -> None:
    """Tell how good a finished output is against its gold column, and write evaluation.html into it."""
    with _errors(verbose=verbose):
        from pipelines import evaluate as evaluation  # noqa: PLC0415 - polars takes a moment to load
        from pipelines.show_quality import print_quality  # noqa: PLC0415 - rich's tables too

        found = evaluation.evaluate_output(output)
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            print_quality(found, Console())
        typer.echo(f"wrote {evaluation.write_evaluation(output, found)}", err=True)


@app.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors."""
    typer.echo(json.dumps(job_schema(), indent=1))


def _load(job_file: str, sets: list[str], input_path: str | None, output_path: str | None) -> Job:
    job = load_job(job_file, sets=parse_sets(sets))
    return apply_overrides(job, input_path=input_path, output_path=output_path)


@contextlib.contextmanager
def _errors(*, verbose: bool) -> Iterator[None]:
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
    # They log every request.
    for name in ("httpx", "httpx2", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not verbose:
        warnings.simplefilter("ignore")


def main(arguments: list[str] | None = None) -> None:
    """Run the command with the given arguments (default: those of the process)."""
    app(arguments)


if __name__ == "__main__":
    main()
