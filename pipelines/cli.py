"""The `tekizai` command."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.cli_adapters import adapters_app
from pipelines.cli_bench import bench
from pipelines.cli_common import AsJson, Sets, Verbose, errors, load
from pipelines.cli_models import models_app
from pipelines.cli_pack import pack_app
from pipelines.cli_router import route, router_app
from pipelines.read_ahead import read_ahead

app = typer.Typer(
    name="tekizai",
    help="Label large text datasets with small models on CPU; ask a large one only about the hard records.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(router_app)
app.add_typer(adapters_app)
app.add_typer(models_app)
app.add_typer(pack_app)
app.command()(route)
app.command()(bench)

JobFile = Annotated[str, typer.Argument(help="The job file (YAML).", metavar="JOB.yaml")]
BeamOptions = Annotated[
    list[str] | None, typer.Argument(help="After --: options for Beam.", metavar="[-- BEAM OPTIONS]")
]
InputPath = Annotated[str | None, typer.Option("--input", help="Read this URL instead.")]
OutputPath = Annotated[str | None, typer.Option("--output", help="Write to this folder instead.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Replace what is in the output.")]


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
    with errors(verbose=verbose):
        job = load(job_file, sets, input_path, output_path)
        read_ahead(job)
        from pipelines.commands import run_job  # noqa: PLC0415 - takes seconds, and Beam logs as it loads

        code = run_job(
            job,
            beam_options or [],
            limit=limit,
            fresh=fresh,
            console=Console(stderr=True),
        )
    raise typer.Exit(code)


@app.command()
def plan(  # noqa: PLR0917 - typer passes them by name
    job_file: JobFile,
    beam_options: BeamOptions = None,
    input_path: InputPath = None,
    output_path: OutputPath = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Plan for the first N records only.")] = None,
    pilot: Annotated[
        int | None,
        typer.Option(min=1, help="Ask small models about N records; default: as many as it takes."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no model; use an earlier run's rates.")
    ] = False,
    rates: Annotated[
        str | None, typer.Option("--rates", help="With --offline: the output of the earlier run.")
    ] = None,
    as_json: AsJson = False,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Tell what a job will cost and take, and who will answer what. Annotates nothing."""
    with errors(verbose=verbose):
        from pipelines.commands import plan_job, plan_offline  # noqa: PLC0415 - see `run`
        from pipelines.show_plan import print_plan  # noqa: PLC0415 - rich's tables too

        job, told = load(job_file, sets, input_path, output_path), Console(stderr=True)
        found: dict[str, Any] | None
        if offline:
            found = plan_offline(job, rates, limit=limit, console=told)
        else:
            if rates is not None:
                raise ValueError("--rates belongs to --offline: without it the pilot is measured")
            found = plan_job(job, beam_options or [], limit=limit, size=pilot, console=told)
        if found is None:
            typer.echo(
                "the output is finished already: a run would do nothing (--fresh starts over)", err=True
            )
        elif as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            print_plan(found, Console())


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
    with errors(verbose=verbose):
        from pipelines.commands import calibrate_job  # noqa: PLC0415 - see `run`

        job = load(job_file, sets, input_path, output_path)
        calibrate_job(job, beam_options or [], fresh=fresh, console=Console(stderr=True))


@app.command()
def check(
    job_file: JobFile,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Check a job file, and that its input, models and keys are there. Asks no model."""
    with errors(verbose=verbose):
        from pipelines.commands import check_job  # noqa: PLC0415 - see `run`

        check_job(load(job_file, sets, None, None), Console(stderr=True))


@app.command()
def report(
    outputs: Annotated[
        list[str], typer.Argument(help="The output folders of finished jobs.", metavar="OUTPUT...")
    ],
    to: Annotated[
        str | None, typer.Option(help="Where to write the page about several outputs (history.html).")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write report.html of a finished output anew; of several outputs, one page that compares the runs."""
    with errors(verbose=verbose):
        from pipelines.report import report_output, report_outputs  # noqa: PLC0415 - polars takes a moment

        console = Console(stderr=True)
        if len(outputs) == 1 and to is None and not as_json:
            report_output(outputs[0], console)
            return
        found = report_outputs(outputs, to, console, as_json=as_json)
        if found is not None:
            typer.echo(found)


@app.command()
def evaluate(
    output: Annotated[str, typer.Argument(help="The output folder of a finished job.", metavar="OUTPUT")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Tell how good a finished output is against its gold column, and write evaluation.html into it."""
    with errors(verbose=verbose):
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
    from router.job_loading import job_schema  # noqa: PLC0415 - `--help` needs no model of the job file

    typer.echo(json.dumps(job_schema(), indent=1))


def main(arguments: list[str] | None = None) -> None:
    """Run the command with the given arguments (default: those of the process)."""
    app(arguments)


if __name__ == "__main__":
    main()
