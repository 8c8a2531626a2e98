"""The first process of a worker's container: looks at the machine, reads secrets, and becomes Beam's own.

TEKIZAI_CPU holds what llama.cpp was built for, TEKIZAI_SECRETS which variables are to hold which secrets.
"""

from __future__ import annotations

import os
import pathlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BOOT = "/opt/apache/beam/boot"


def missing_features(wanted: str, cpuinfo: str) -> list[str]:
    """Which of the wanted features the processor does not have, in the order of `wanted`.

    Args:
        wanted: Names by spaces.
        cpuinfo: What /proc/cpuinfo says; x86 has lines of `flags`, ARM of `Features`.
    """
    lines = [line.partition(":") for line in cpuinfo.splitlines()]
    found = {
        name for key, _, names in lines if key.strip() in ("flags", "Features") for name in names.split()
    }
    return [name for name in wanted.split() if name not in found]


def read_secrets(wanted: str, read: Callable[[str], str]) -> dict[str, str]:
    """The value of each variable in `NAME=projects/P/secrets/S/versions/V NAME=…`.

    Raises `ValueError` for what is not of that form; the message holds no value.
    """
    found: dict[str, str] = {}
    for one in wanted.split():
        name, _, version = one.partition("=")
        if not name.isidentifier() or not version.startswith("projects/") or "/versions/" not in version:
            raise ValueError(
                f"TEKIZAI_SECRETS: {name} must look like NAME=projects/PROJECT/secrets/SECRET/versions/latest"
            )
        # Values that were read from files end in a newline more often than not.
        found[name] = read(version).strip()
    return found


def from_secret_manager(version: str) -> str:
    """A secret's value, as the worker's service account may read it."""
    from google.cloud import secretmanager  # noqa: PLC0415 - only where there are secrets

    client = secretmanager.SecretManagerServiceClient()
    return str(client.access_secret_version(name=version).payload.data.decode())


def prepare() -> None:
    """Look at the machine and put the secrets into the environment. Raises `ValueError`."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii")
    missing = missing_features(os.environ.get("TEKIZAI_CPU", ""), cpuinfo)
    if missing:
        raise ValueError(
            f"this machine's processor lacks {' '.join(missing)}, for which llama.cpp was built: choose "
            "another --machine_type or --min_cpu_platform, or build the image with other GGML and CPU"
        )
    os.environ.update(read_secrets(os.environ.get("TEKIZAI_SECRETS", ""), from_secret_manager))


def main(arguments: list[str]) -> None:
    """Prepare, and become Beam's boot program."""
    try:
        prepare()
    # Whatever it is, a worker that goes on would fail later, and less clearly.
    except Exception as error:
        raise SystemExit(f"tekizai worker: {error}") from error
    os.execv(os.environ.get("TEKIZAI_BOOT", BOOT), [BOOT, *arguments])  # noqa: S606 - it takes this one's place


if __name__ == "__main__":
    main(sys.argv[1:])
