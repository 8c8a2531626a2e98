"""The commands about domain packs: `tekizai pack list`, `show`, `new` and `measure`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pipelines.cli_common import AsJson, Verbose, errors

pack_app = typer.Typer(
    name="pack",
    help="Domain packs: tasks that are worded, tried and measured already, and how to make one.",
    no_args_is_help=True,
    add_completion=False,
)

_PACK = "A pack's name, or its folder (with a /)."


@pack_app.command("list")
def list_all(as_json: AsJson = False, verbose: Verbose = False) -> None:
    """List the packs that ship with Tekizai."""
    with errors(verbose=verbose):
        from pipelines.packs import list_packs  # noqa: PLC0415 - `--help` needs none

        found = list_packs()
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
            return
        width = max(len(one["name"]) for one in found)
        for one in found:
            typer.echo(f"{one['name']:{width}}  {', '.join(one['languages'])}  {one['summary']}")


@pack_app.command()
def show(
    pack: Annotated[str, typer.Argument(help=_PACK, metavar="PACK")],
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show a pack: where it comes from, what was measured, and the task that it stands for."""
    with errors(verbose=verbose):
        from pipelines.packs import show_pack, told_pack  # noqa: PLC0415 - `--help` needs none

        if as_json:
            typer.echo(json.dumps(show_pack(pack), ensure_ascii=False, indent=1))
        else:
            typer.echo("\n".join(told_pack(pack)))


@pack_app.command()
def new(  # noqa: PLR0917 - typer passes them by name
    name: Annotated[str, typer.Argument(help="The pack's name: lower-case letters, digits, hyphens.")],
    source: Annotated[str, typer.Option("--from", help="Labelled rows: what `input.path` may be.")],
    text: Annotated[str, typer.Option("--text", help="The column with the text.")] = "text",
    label: Annotated[str, typer.Option("--label", help="The column with the right label.")] = "label",
    output: Annotated[
        Path | None, typer.Option("--output", help="The folder to write; default: the name.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Start a pack from labelled rows: its task with examples, a page, a job, and rows to measure on."""
    with errors(verbose=verbose):
        from pipelines.pack_new import Start, start_pack  # noqa: PLC0415 - `--help` needs none

        folder = Path(name) if output is None else output
        start_pack(Start(name, source, text, label, folder), lambda line: typer.echo(line, err=True))


@pack_app.command()
def measure(  # noqa: PLR0917 - typer passes them by name
    pack: Annotated[str, typer.Argument(help=_PACK, metavar="PACK")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Labelled rows; default: what `pack new` held back."),
    ] = None,
    text: Annotated[str, typer.Option("--text", help="The column with the text.")] = "text",
    label: Annotated[str, typer.Option("--label", help="The column with the right label.")] = "label",
    model: Annotated[
        str | None,
        typer.Option("--model", help="What `source` in a job may be; default: the pack's small model."),
    ] = None,
    records: Annotated[int, typer.Option(min=1, help="How many rows to ask about.")] = 300,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the model.")] = 1,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure a pack's prompt against the plain one; in a folder of your own, write it into the page."""
    with errors(verbose=verbose):
        from pipelines.pack_pages import MeasureOptions, measure_and_note  # noqa: PLC0415 - likewise

        options = MeasureOptions(pack, data, text, label, model, records, threads)
        with Console(stderr=True).status("", refresh_per_second=2) as status:
            found, lines = measure_and_note(options, lambda words: status.update(escape(words)))
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1) if as_json else "\n".join(lines))
