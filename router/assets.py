"""Finds the files that ship with Tekizai: what is in `configs/` and `data/`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

FOLDERS = ("configs", "data")
"""The folders of the source tree that go into the wheel beside the code."""


def asset_path(name: str) -> Path:
    """Return where the shipped file or folder of this name is, in a source checkout as in an installed wheel.

    Args:
        name: The path as it is in the source tree, such as "configs/models.yaml".

    Raises:
        ValueError: The name is not a relative path into `configs/` or `data/`.
        FileNotFoundError: No such file or folder ships with Tekizai.
    """
    parts = PurePosixPath(name).parts
    if not parts or parts[0] not in FOLDERS or ".." in parts:
        raise ValueError(f"{name!r} is not a shipped file: give a path that starts with configs/ or data/")
    package = Path(__file__).parent
    # The wheel carries the folders inside this package (see pyproject.toml), so that `configs` and `data` do
    # not become importable names; a checkout and an editable install have them beside it.
    installed = package / "_assets"
    path = (installed if installed.is_dir() else package.parent).joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(
            f"{name!r} does not ship with Tekizai: there is no {path}; check the spelling"
        )
    return path
