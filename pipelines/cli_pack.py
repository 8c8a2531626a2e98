"""The commands about domain packs: `tekizai pack list`, `show`, `new` and `measure`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

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
