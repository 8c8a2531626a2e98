"""The commands about the router: `tekizai route`, `tekizai router train` and `tekizai router evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli_common import AsJson, Sets, Verbose, errors, load
from pipelines.errors import DONE, TOO_MANY_DEAD

router_app = typer.Typer(
    name="router",
    help="Train the router's own heads and see how good they are.",
    no_args_is_help=True,
    add_completion=False,
)

Data = Annotated[
    str, typer.Option("--data", help="Labelled rows: a path, URL or glob; for complexity also an OUTPUT.")
]
HeadName = Annotated[str, typer.Option("--head", help="task, domain or complexity.")]
TextColumn = Annotated[str, typer.Option("--text", help="The column with the text.")]
LabelColumn = Annotated[
    str | None, typer.Option("--label", help="The column with the label; else the head's name, or label.")
]


def route(
    source: Annotated[
        str, typer.Argument(help="JSONL with a text in each line; - is stdin.", metavar="[FILE|-]")
    ] = "-",
    job_file: Annotated[
        str | None, typer.Option("--job", help="A job file: its rules choose a model.", metavar="JOB.yaml")
    ] = None,
    sets: Sets = [],  # noqa: B006 - typer copies it
    verbose: Verbose = False,
) -> None:
    """Show the route of each line as JSONL; no model is called."""
    wrong = 0
    with errors(verbose=verbose):
        from pipelines.route_text import lines_of, route_lines  # noqa: PLC0415 - takes seconds to load

        job = None if job_file is None else load(job_file, sets, None, None)
        for row in route_lines(lines_of(source), job):
            wrong += "error" in row
            typer.echo(json.dumps(row, ensure_ascii=False))
        if wrong:
            typer.echo(f'tekizai: {wrong} line(s) could not be routed: see their "error"', err=True)
    raise typer.Exit(TOO_MANY_DEAD if wrong else DONE)


@router_app.command()
def train(  # noqa: PLR0917 - typer passes them by name
    data: Data,
    head: HeadName,
    output: Annotated[Path, typer.Option("--output", help="The folder for the heads.")] = Path("out/router"),
    base: Annotated[str | None, typer.Option("--base", help="A folder whose other heads are kept.")] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", help="Another Hugging Face encoder (needs PyTorch)."),
    ] = None,
    prefix: Annotated[
        str, typer.Option("--prefix", help='What that encoder wants before a text, like "query: ".')
    ] = "",
    alone: Annotated[bool, typer.Option("--alone", help="Leave out the shipped rows.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Train the encoder too (needs PyTorch; takes an hour or less).")
    ] = False,
    text: TextColumn = "text",
    label: LabelColumn = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train a head from labelled rows; job files then name the folder in router.heads."""
    with errors(verbose=verbose):
        from pipelines.router_training import (  # noqa: PLC0415 - see `route`
            Training,
            read_labelled,
            train_head,
        )

        console = Console(stderr=True)
        rows = read_labelled(data, head, text, label)
        about = train_head(
            rows,
            head,
            Training(output, base, encoder, prefix, alone, tune),
            lambda line: console.print(line, highlight=False, soft_wrap=True),
        )
        if as_json:
            typer.echo(json.dumps({"head": head, "output": str(output), **about}, indent=1))
        else:
            for name, value in about.items():
                typer.echo(f"{name.replace('_', ' ')}: {value}")
        typer.echo(f'wrote {output}; name it in the job file: router: {{heads: "{output}"}}', err=True)


@router_app.command()
def evaluate(  # noqa: PLR0917 - typer passes them by name
    data: Data,
    head: HeadName,
    heads: Annotated[
        str | None, typer.Option("--heads", help="A folder of `router train`; else the shipped heads.")
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="The rows it was trained on: baselines, or complexity after the answer, are fitted to them.",
        ),
    ] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write an HTML page with the confusion here.")
    ] = None,
    text: TextColumn = "text",
    label: LabelColumn = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Tell how good a head is on labelled rows, by language, with exact intervals."""
    with errors(verbose=verbose):
        from pipelines.router_evaluation import evaluate_head  # noqa: PLC0415 - see `route`
        from pipelines.router_training import read_labelled  # noqa: PLC0415 - see `route`
        from pipelines.show_quality import print_router_quality  # noqa: PLC0415 - rich's tables

        rows = read_labelled(data, head, text, label)
        train_rows = None if trained_on is None else read_labelled(trained_on, head, text, label)
        found = evaluate_head(rows, head, heads=heads, train=train_rows)
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
        else:
            print_router_quality(found, Console())
        if page is not None and "tasks" in found:
            from router.evaluation_page import render_evaluation  # noqa: PLC0415 - only for a page

            page.write_text(render_evaluation({**found, "gate": None, "audit": None}), encoding="utf-8")
            typer.echo(f"wrote {page}", err=True)
