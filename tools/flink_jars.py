"""Bring what a Flink cluster and Beam's job server for it need into a cache folder outside the repository.

    python -m tools.flink_jars [--job-server JAR]

Flink's jars come with the Python package `apache-flink-libraries`, the job server from Maven Central, of the
version of apache-beam that is installed. Both clients check the registry's digests of what they bring. A jar
that was brought by hand is taken with --job-server.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass

import apache_beam

from transforms.model_files import cache_folder

FLINK = "1.20.5"
"""The long-term release of Flink 1; Beam's job servers are made for a minor version each."""
MINOR = FLINK.rpartition(".")[0]
JOB_SERVER = f"beam-runners-flink-{MINOR}-job-server"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_HINT = (
    "bring it yourself and run python -m tools.flink_jars --job-server JAR, or submit to a job server that "
    "runs elsewhere (--runner=PortableRunner --job_endpoint=HOST:PORT)"
)


class MissingError(RuntimeError):
    """Something cannot be had; the message says what, why and what to do."""


@dataclass(frozen=True)
class Jars:
    """Where the jars are, or are to be."""

    folder: pathlib.Path

    @property
    def flink(self) -> pathlib.Path:
        """Flink's own jars, as in `lib` of its distribution."""
        return self.folder / f"flink-{FLINK}" / "lib"

    @property
    def job_server(self) -> pathlib.Path:
        """Beam's job server."""
        return self.folder / f"{JOB_SERVER}-{apache_beam.__version__}.jar"


def jars() -> Jars:
    """Where they are kept: $TEKIZAI_CACHE or ~/.cache/tekizai."""
    return Jars(cache_folder() / "flink")


def java() -> str | None:
    """The command that runs Java; None where there is none."""
    return shutil.which("java")


def missing(*, job_server: bool) -> str | None:
    """Why there can be no cluster, or no job on it; None where nothing is missing."""
    if java() is None:
        return "Java (11 or 17) is not installed"
    if not jars().flink.exists():
        return f"Flink {FLINK} is not there: `make flink` brings it"
    if job_server and not jars().job_server.exists():
        return f"{jars().job_server.name} is not there: `make flink` brings it, where Maven can have it"
    return None


def fetch_flink(to: Jars) -> None:
    """Bring Flink's jars. Raises `MissingError`."""
    if to.flink.exists():
        return
    to.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.folder) as passing:
        wanted = ["--no-deps", "--no-binary=:all:", f"apache-flink-libraries=={FLINK}"]
        _run([sys.executable, "-m", "pip", "download", "-q", "-d", passing, *wanted], f"Flink {FLINK}")
        [archive] = pathlib.Path(passing).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            for one in packed:
                name = pathlib.PurePosixPath(one.name)
                if name.parts[1:3] == ("deps", "lib") and name.suffix == ".jar":
                    one.name = name.name
                    packed.extract(one, pathlib.Path(passing) / "lib", filter="data")
        to.flink.parent.mkdir(exist_ok=True)
        # All at once: a folder that is there is whole.
        (pathlib.Path(passing) / "lib").rename(to.flink)


def fetch_job_server(to: Jars, given: pathlib.Path | None) -> None:
    """Bring Beam's job server, from Maven Central or from a file. Raises `MissingError`."""
    if to.job_server.exists():
        return
    to.folder.mkdir(parents=True, exist_ok=True)
    if given is not None:
        shutil.copyfile(given, to.job_server)
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise MissingError(f"{to.job_server.name}: Maven (mvn) is not installed; {_HINT}")
    what = f"org.apache.beam:{JOB_SERVER}:{apache_beam.__version__}"
    with tempfile.TemporaryDirectory(dir=to.folder) as passing:
        # -C: a jar whose digest is not the registry's is refused.
        command = [maven, "-q", "-B", "-C", "dependency:copy", f"-Dartifact={what}"]
        _run([*command, f"-DoutputDirectory={passing}"], what)
        (pathlib.Path(passing) / to.job_server.name).rename(to.job_server)


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
        told = next((line for line in said if "ERROR" in line.upper()), said[-1])
        told = _COLOURS.sub("", told).replace("[ERROR]", "").strip()
        raise MissingError(f"{what} cannot be had ({told[:300]}); {_HINT}")


def main() -> int:
    """Bring all; exit code 1 where something cannot be had."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--job-server", type=pathlib.Path, metavar="JAR", help="take this for the job server")
    given = parser.parse_args()
    try:
        fetch_flink(jars())
        sys.stdout.write(f"{jars().flink}\n")
        fetch_job_server(jars(), given.job_server)
        sys.stdout.write(f"{jars().job_server}\n")
    except MissingError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
