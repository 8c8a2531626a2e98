"""Where `make prism` puts Beam's Prism runner, a portable runner in one Go program that needs no cluster.

    python -m tools.prism            builds it with Go, of the version of apache-beam that is installed

It is kept in the cache folder ($TEKIZAI_CACHE or ~/.cache/tekizai). Tests that a job is the same on another
runner use it, and are skipped where it is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import apache_beam

from transforms.model_files import cache_folder

if TYPE_CHECKING:
    import pathlib

_MODULE = "github.com/apache/beam/sdks/v2/go/cmd/prism"


def prism_path() -> pathlib.Path | None:
    """The program; None where it was not built."""
    path = _folder() / "prism"
    return path if path.exists() else None


def _folder() -> pathlib.Path:
    return cache_folder() / f"prism-{apache_beam.__version__}"


def main() -> int:
    """Build the program unless it is there."""
    if prism_path() is None:
        go = shutil.which("go")
        if go is None:
            sys.stderr.write("error: Prism is built with Go, which is not installed (go.dev/doc/install)\n")
            return 1
        sys.stderr.write("building Prism; this takes some minutes\n")
        environment = {**os.environ, "GOBIN": str(_folder())}
        wanted = f"{_MODULE}@v{apache_beam.__version__}"
        done = subprocess.run([go, "install", wanted], env=environment, check=False)
        if done.returncode:
            return done.returncode
    sys.stdout.write(f"{prism_path()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
