"""The commands about models: `tekizai models quantize`, `bench` and `compare`."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.cli_common import AsJson, Sets, Verbose, errors, load

models_app = typer.Typer(
    name="models",
    help="Compare a job's models; make a small one smaller or faster, and see what that does.",
    no_args_is_help=True,
    add_completion=False,
)

_MODEL = "A .gguf file, what `source` in a job file may be, or a name of the catalogue."

_ADAPTED = f"{_MODEL} MODEL+ADAPTER is one with a LoRA adapter on it."


@models_app.command()
def quantize(  # noqa: PLR0917 - typer passes them by name
    model: Annotated[str, typer.Argument(help=_MODEL, metavar="MODEL")],
    to: Annotated[str, typer.Option("--to", help="The formats, such as q8_0,q4_0.", metavar="FORMATS")],
    output: Annotated[Path, typer.Option("--output", help="The folder for the files.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Write a model in other number formats, and tell what each is and what it was made from."""
    with errors(verbose=verbose):
        from pipelines.model_source import find_model  # noqa: PLC0415 - loads the engine
        from pipelines.quantize import parse_formats, quantize_model, told  # noqa: PLC0415 - likewise

        formats = parse_formats(to)
        made = []
        for one in quantize_model(find_model(model), formats, output, force=force):
            made.append(one)
            if not as_json:
                typer.echo("\n".join(told(one)))
        if as_json:
            typer.echo(json.dumps(made, ensure_ascii=False, indent=1))


@models_app.command()
def bench(  # noqa: PLR0917 - typer passes them by name
    models: Annotated[list[str], typer.Argument(help=_ADAPTED, metavar="MODEL...")],
    data: Annotated[
        str | None, typer.Option("--data", help="Rows with true labels: what `input.path` may be.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="The column with the text.")] = None,
    gold: Annotated[str | None, typer.Option("--gold", help="The column with the true label.")] = None,
    labels: Annotated[str | None, typer.Option("--labels", help="The labels, as in a,b.")] = None,
    instruction: Annotated[
        str | None, typer.Option("--instruction", help="What to do, as one would tell a person.")
    ] = None,
    job_file: Annotated[
        str | None,
        typer.Option("--job", help="A job file: its task, and its input where no --data is given."),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Which task of the job.")] = None,
    records: Annotated[int, typer.Option(min=1, help="How many records to ask about.")] = 300,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each model.")] = 1,
    as_json: AsJson = False,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Compare model files on the same records: size, memory, speed, accuracy, calibration, agreement."""
    with errors(verbose=verbose):
        from pipelines.model_source import find_adapted  # noqa: PLC0415 - likewise
        from pipelines.models_bench import bench_models  # noqa: PLC0415 - loads the engine and Beam
        from pipelines.models_bench_data import BenchOptions, read_bench  # noqa: PLC0415 - likewise
        from pipelines.show_models import print_bench  # noqa: PLC0415 - rich's tables
        from router.job_loading import parse_sets  # noqa: PLC0415 - `--help` needs none

        options = BenchOptions(
            job_file, parse_sets(sets), task, data, text, gold, labels, instruction, records
        )
        asked, console = read_bench(options), Console(stderr=True)
        files = [find_adapted(model) for model in models]
        typer.echo(
            f"{len(asked.records):,} records, {len(files)} model(s), each in a process of its own with "
            f"{threads} thread(s); what else runs on this machine shows in the speed",
            err=True,
        )
        with console.status("", refresh_per_second=2) as status:
            found = bench_models(files, asked, threads, lambda words: status.update(escape(words)))
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            print_bench(found, Console())


def _usd(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal(0)
    if not (found.is_finite() and found > 0):
        raise typer.BadParameter(f"{text!r} is no amount of US dollars above 0; give one such as 0.50")
    return found


@models_app.command()
def compare(  # noqa: PLR0917 - typer passes them by name
    job_file: Annotated[str, typer.Argument(help="The job file (YAML).", metavar="JOB.yaml")],
    beam_options: Annotated[
        list[str] | None, typer.Argument(help="After --: options for Beam.", metavar="[-- BEAM OPTIONS]")
    ] = None,
    records: Annotated[
        int | None,
        typer.Option(min=1, help="Ask about N records; default: up to 400, by what they cost and take."),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="The share that is to be the oracle's; default: that of the job, else 0.95."),
    ] = None,
    max_usd: Annotated[
        Decimal,
        typer.Option(
            parser=_usd, metavar="USD", help="What hosted models may cost; the job's budget holds too."
        ),
    ] = Decimal(1),
    input_path: Annotated[str | None, typer.Option("--input", help="Read this URL instead.")] = None,
    output_path: Annotated[str | None, typer.Option("--output", help="Keep the answers there.")] = None,
    as_json: AsJson = False,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Ask every model of a job about the same records, and propose who should answer what."""
    with errors(verbose=verbose):
        job = load(job_file, sets, input_path, output_path)
        if target is not None and not 0.0 < target < 1.0:
            raise ValueError(f"--target: {target:g} is no share; give one between 0 and 1, such as 0.95")
        from pipelines.commands import compare_job  # noqa: PLC0415 - takes seconds, and Beam logs as it loads
        from pipelines.compare import CompareOptions  # noqa: PLC0415 - likewise
        from pipelines.show_comparison import print_comparison  # noqa: PLC0415 - rich's tables

        wanted = CompareOptions(records, target)
        found = compare_job(job, beam_options or [], wanted, max_usd, console=Console(stderr=True))
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            print_comparison(found, Console())
