"""Tests of what the wheel contains."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
CODE = ("pipelines", "router", "transforms")
ASSETS = ("configs", "data")


def _files(folder: str) -> set[str]:
    paths = (path.relative_to(REPOSITORY) for path in (REPOSITORY / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if "__pycache__" not in path.parts}


def test_every_folder_is_listed() -> None:
    """A folder that pyproject.toml does not list would be missing from the wheel."""
    tomllib = pytest.importorskip("tomllib", reason="the standard library reads TOML from Python 3.11 on")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    listed = project["tool"]["setuptools"]["packages"]
    code = {Path(file).parent.as_posix() for name in CODE for file in _files(name)}
    assets = {"router/_assets/" + Path(file).parent.as_posix() for name in ASSETS for file in _files(name)}

    expected = {folder.replace("/", ".") for folder in code | assets}

    # A folder that holds nothing but folders may be listed too.
    assert expected <= set(listed)


def test_installed_wheel_finds_its_files(tmp_path: Path) -> None:
    """A wheel has all of `configs/` and `data/`, and `asset_path` finds them where no source tree is."""
    pytest.importorskip("setuptools", minversion="77")
    source, installed = tmp_path / "source", tmp_path / "installed"
    for name in (*CODE, *ASSETS):
        shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w"]
    subprocess.run([*build, str(tmp_path), str(source)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("tekizai-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    script = (
        f"import json, sys; sys.path.insert(0, {str(installed)!r}); from router.assets import asset_path;"
        "print(json.dumps([str(asset_path(name)) for name in json.load(sys.stdin)]))"
    )
    names = sorted(file for folder in ASSETS for file in _files(folder))
    found = subprocess.run(
        [sys.executable, "-I", "-c", script],
        check=True,
        capture_output=True,
        cwd=tmp_path,
        input=json.dumps(names),
        text=True,
    )

    assert [str(installed / "router" / "_assets" / name) for name in names] == json.loads(found.stdout)
