"""The commands about adapters: `tekizai adapters train`."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_common import AsJson, Verbose, errors

adapters_app = typer.Typer(
    name="adapters",
    help="Train small models for a domain or a language: adapters on their weights.",
    no_args_is_help=True,
    add_completion=False,
)


class Whose(str, Enum):
    """Whose labels an adapter learns."""

    llm = "llm"
    gold = "gold"


@adapters_app.callback()
def _group() -> None:
    """Keep the command's name, although it is the only one."""


@adapters_app.command()
def train(  # noqa: PLR0917 - typer passes them by name
    output: Annotated[str, typer.Argument(help="A finished job's output.", metavar="OUTPUT")],
    model: Annotated[str, typer.Option("--model", help="The local model's name in that job.")],
    to: Annotated[Path, typer.Option("--to", help="The adapter's file.", metavar="FILE.gguf")],
    task: Annotated[str | None, typer.Option("--task", help="Which task of the job.")] = None,
    labels: Annotated[
        Whose, typer.Option("--labels", help="The large model's answers, or the gold column.")
    ] = Whose.llm,
    rows: Annotated[int | None, typer.Option(min=40, help="Take so many rows at random; all.")] = None,
    epochs: Annotated[int, typer.Option(min=1, help="How often each row is seen.")] = 2,
    rank: Annotated[int, typer.Option(min=1, help="How large the adapter is.")] = 8,
    rate: Annotated[float, typer.Option(min=0.0, help="How fast it learns.")] = 1e-3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Train a LoRA adapter on a job's own answers and write it as GGUF (needs PyTorch: the extra `train`)."""
    with errors(verbose=verbose):
        from pipelines.adapter_training import AdapterTraining, train_adapter  # noqa: PLC0415 - loads Beam
        from transforms.train_adapter import LoraSettings  # noqa: PLC0415 - likewise

        settings = LoraSettings(rank, 2.0 * rank, epochs, rate, threads=threads)
        wanted = AdapterTraining(output, model, to, task, labels.value, rows, settings)
        found = train_adapter(wanted, lambda line: typer.echo(line, err=True))
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
            return
        right = found["held_back"]
        typer.echo(
            f"{found['adapter']}: {found['bytes'] / 1e6:.1f} MB. Of {found['rows']['held_back']} rows held "
            f"back it is right on {right['adapted']:.3f}, the plain model on {right['plain']:.3f}"
        )
