"""The command `tekizai bench`."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli_common import AsJson, Verbose, errors

Sections = Annotated[
    list[str] | None,
    typer.Argument(
        help="slm, pipeline, router, llm, scale or all; without a name all but scale.",
        metavar="[SECTION ...]",
    ),
]


def bench(  # noqa: PLR0917 - typer passes them by name
    sections: Sections = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="Turns of each comparison.")] = None,
    records: Annotated[
        int | None,
        typer.Option(
            min=1, help="Records a turn (slm, router), of the job (pipeline), of the largest (scale)."
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="smollm2, gemma3, or a source; may be repeated.")
    ] = None,
    as_format: Annotated[
        str | None, typer.Option("--format", help="Number format of the models in slm, such as q8_0.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a model in slm.")] = 1,
    data: Annotated[str | None, typer.Option("--data", help="Texts of your own: a path or URL.")] = None,
    text: Annotated[str, typer.Option("--text", help="The column with the text.")] = "text",
    quick: Annotated[bool, typer.Option("--quick", help="A first impression, from few records.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure how fast Tekizai is on this machine, beside what it can be compared with."""
    with errors(verbose=verbose):
        from pipelines.bench import Settings, run_bench  # noqa: PLC0415 - Beam and llama.cpp take seconds
        from pipelines.console import say  # noqa: PLC0415 - see above
        from pipelines.show_bench import print_bench  # noqa: PLC0415 - rich's tables too

        told = Console(stderr=True)
        settings = Settings(
            sections or (), repeats, records, model or (), threads, data, text, quick, as_format
        )
        found = run_bench(settings, lambda line: say(told, line))
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            print_bench(found, Console())
