"""Takes the steps of a worker's Dockerfile without a container engine, in clean virtual environments.

    python tools/try_worker_image.py FOLDER [--build-arg NAME=VALUE]... [-- COMMAND...]

COMMAND runs in the last stage. Folders that an ENV names are put below the stage's own. What installs
Debian's packages is left out and said. The base image is stood in for by Beam of the same version.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import string
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = REPOSITORY / "docker" / "worker.Dockerfile"
_ABSOLUTE = re.compile(r"""(?:^|[\s"'=])/\w""")


@dataclass
class Stage:
    """A stage as far as it has come."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    folder: Path = field(default_factory=Path)
    entrypoint: list[str] = field(default_factory=list)

    def expand(self, text: str) -> str:
        """The text with the stage's variables in it; one that is not known is an error."""
        return string.Template(text).substitute(self.variables)

    def environment(self) -> dict[str, str]:
        """What a step sees: the stage's Python first, and nothing of another environment."""
        kept = {
            name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")
        }
        return {**kept, **self.variables, "PATH": f"{self.root}/venv/bin:{kept['PATH']}"}

    def run(self, command: list[str], **changes: str) -> None:
        """Run a command. Raises `CalledProcessError`."""
        subprocess.run(command, cwd=self.folder, env={**self.environment(), **changes}, check=True)


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments, in order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.strip().split(None, 1) for line in joined.splitlines() if line.strip()]
    return [(word.upper(), rest) for word, rest in found]


class Build:
    """All stages."""

    def __init__(self, folder: Path, given: dict[str, str], context: Path = REPOSITORY) -> None:
        """`folder` takes the stages, `given` stands for build arguments; what is copied is in `context`."""
        self.folder, self.given, self.context = folder, given, context
        self.stages: dict[str, Stage] = {}
        self.before: dict[str, str] = {}
        """Arguments that stand before the first stage."""

    @property
    def last(self) -> Stage:
        """The stage that the steps belong to."""
        return list(self.stages.values())[-1]

    def step(self, word: str, rest: str) -> None:
        """Take one step. Raises `ValueError` for what is not understood here."""
        taken = getattr(self, f"_{word.lower()}", None)
        if taken is None:
            raise ValueError(f"{word} {rest}: unknown here; teach tools/try_worker_image.py")
        begun = time.monotonic()
        taken(rest)
        say(f"{time.monotonic() - begun:6.1f} s  {word} {textwrap.shorten(rest, 90)}")

    def _arg(self, rest: str) -> None:
        name, _, default = rest.partition("=")
        value = self.given.get(name, " ".join(shlex.split(default)))
        if self.stages:
            self.last.variables[name] = value
        else:
            self.before[name] = value

    def _from(self, rest: str) -> None:
        image, _, name = string.Template(rest).substitute(self.before).partition(" AS ")
        root = self.folder / (name or "worker")
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        self.stages[name or "worker"] = stage = Stage(root, folder=root)
        stage.run([sys.executable, "-m", "venv", f"{root}/venv"])
        if "/beam_python" in image:
            beam = f"apache-beam=={image.partition(':')[2]}"
            limits = ["--constraint", str(self.context / "constraints.txt")]
            stage.run(["python", "-m", "pip", "install", "--quiet", *limits, "pip", "setuptools", beam])

    def _env(self, rest: str) -> None:
        for one in shlex.split(rest):
            name, _, value = one.partition("=")
            value = self.last.expand(value)
            self.last.variables[name] = f"{self.last.root}{value}" if value.startswith("/") else value

    def _shell(self, rest: str) -> None:
        if rest != '["/bin/bash", "-euo", "pipefail", "-c"]':
            raise ValueError(f"SHELL {rest}: steps are run by bash -euo pipefail")

    def _workdir(self, rest: str) -> None:
        self.last.folder = Path(self.last.expand(rest))
        self.last.folder.mkdir(parents=True, exist_ok=True)

    def _copy(self, rest: str) -> None:
        *names, target = shlex.split(rest)
        sources = [self.context / name for name in names]
        if names[0].startswith("--from="):
            other = self.stages[names[0].partition("=")[2]].root
            here = str(self.last.root)
            sources = [Path(self.last.expand(name).replace(here, str(other), 1)) for name in names[1:]]
        place = Path(self.last.expand(target))
        for source in sources:
            if source.is_dir():
                skipped = shutil.ignore_patterns("__pycache__")
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=skipped)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)

    def _run(self, rest: str) -> None:
        if rest.startswith("apt-get "):
            say(f"left out, it needs Debian: {rest}")
            return
        if _ABSOLUTE.search(rest):
            raise ValueError(f"RUN {rest}: a folder without a variable would be this machine's own")
        self.last.run(["bash", "-euo", "pipefail", "-c", rest])

    def _entrypoint(self, rest: str) -> None:
        program, *arguments = json.loads(rest)
        self.last.entrypoint = [
            program,
            *(f"{self.last.root}{one}" if one.startswith("/") else one for one in arguments),
        ]


def say(line: str) -> None:
    """Tell what is going on."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main() -> None:
    """Take all steps, start the entry point with `echo` in place of Beam's boot program, run the command."""
    arguments, command = sys.argv[1:], list[str]()
    if "--" in arguments:
        arguments, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to work; its stages' folders are replaced")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    pairs = [one.partition("=") for one in given.build_arg]
    build = Build(given.folder.resolve(), {name: value for name, _, value in pairs})
    for word, rest in instructions(DOCKERFILE.read_text(encoding="utf-8")):
        build.step(word, rest)
    build.last.run([*build.last.entrypoint, "--id=1"], TEKIZAI_BOOT=shutil.which("echo") or "")
    if command:
        build.last.run(command)


if __name__ == "__main__":
    main()
