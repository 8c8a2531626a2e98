"""The commands about models as files: `tekizai models quantize` and `tekizai models bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_common import AsJson, Verbose, errors

models_app = typer.Typer(
    name="models",
    help="Make a small model smaller or faster, and see what that does to its answers.",
    no_args_is_help=True,
    add_completion=False,
)

_MODEL = "A .gguf file, what `source` in a job file may be, or a name of the catalogue."


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
