"""A run for what can only give options: Airflow's Beam operators, Dataflow's flex templates.

`python -m pipelines.launch --job=JOB.yaml --set=DS=2026-11-26 --runner=…` is
`tekizai run JOB.yaml --set DS=2026-11-26 -- --runner=…`, with the same exit codes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_YES = ("", "1", "true", "yes")


def command_of(arguments: Sequence[str]) -> list[str]:
    """The arguments of `tekizai` for those of a launcher; what is not Tekizai's own goes to Beam."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.launch", description=__doc__, allow_abbrev=False, add_help=False
    )
    parser.add_argument("--job", required=True)
    parser.add_argument("--set", action="append", default=[])
    for name in ("--input", "--output", "--limit"):
        parser.add_argument(name)
    for name in ("--fresh", "--verbose"):
        # Templates give each parameter a value.
        parser.add_argument(name, nargs="?", const="true", default="false")
    given, beam = parser.parse_known_args(list(arguments))
    command = ["run", given.job]
    for name in ("input", "output", "limit"):
        value = getattr(given, name)
        # A template passes parameters that were left out as empty ones.
        command += [f"--{name}", value] if value else []
    command += [part for one in given.set if one for part in ("--set", one)]
    command += [f"--{name}" for name in ("fresh", "verbose") if getattr(given, name).lower() in _YES]
    return [*command, "--", *beam]


def launch(arguments: Sequence[str]) -> None:
    """Run the job; ends the process with the command's exit code."""
    # Beam is not imported before the command has set what is logged.
    from pipelines.cli import main  # noqa: PLC0415 - see above

    with tempfile.TemporaryDirectory() as folder:
        run, job, *rest = command_of(arguments)
        main([run, brought(job, Path(folder)), *rest])


def brought(job: str, folder: Path) -> str:
    """The path of a job file, which is copied to a folder where it is given by a URL."""
    if "://" not in job:
        return job
    import fsspec  # noqa: PLC0415 - not needed for a file

    place = folder / job.rpartition("/")[2]
    try:
        with fsspec.open(job, "rb") as stream:
            place.write_bytes(stream.read())
    # Every filesystem has exception types of its own, and here all of them mean the same to the user.
    except Exception as error:
        sys.stderr.write(f"tekizai: {job}: the job file cannot be read ({error}); check address and access\n")
        raise SystemExit(2) from error
    return str(place)


if __name__ == "__main__":
    launch(sys.argv[1:])
