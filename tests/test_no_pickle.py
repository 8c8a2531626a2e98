"""Files that come from elsewhere are data: nothing in the project reads them in a way that can run code."""

from __future__ import annotations

import ast
import pathlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]
FOLDERS = ("pipelines", "transforms", "router")
PICKLERS = {"pickle", "cPickle", "_pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "torch"}
RUNNERS = {"eval", "exec", "compile"}
EXPORTS = {
    "transforms/export_encoder.py": ["torch"],
    "transforms/tune_encoder.py": ["torch"],
    "transforms/train_adapter.py": ["torch"],
}
"""What writes a model with PyTorch may import it: it reads safetensors and GGUF only."""
UNSAFE = {
    ("torch", "load"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("pd", "read_pickle"),
}


def offences(source: str) -> list[str]:
    """What in a module can run code that a file holds."""
    return [found for node in ast.walk(ast.parse(source)) for found in _offences(node)]


def _offences(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in PICKLERS)
    elif isinstance(node, ast.ImportFrom):
        module = (node.module or "").partition(".")[0]
        if module in PICKLERS:
            yield str(node.module)
    elif isinstance(node, ast.Call):
        named = [word.arg for word in node.keywords]
        if "allow_pickle" in named and not _is_false(node, "allow_pickle"):
            yield "allow_pickle"
        called = node.func
        if isinstance(called, ast.Name) and called.id in RUNNERS:
            yield called.id
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            if (called.value.id, called.attr) in UNSAFE:
                yield f"{called.value.id}.{called.attr}"
            if called.attr == "import_module" and _is_pickler(node):
                yield called.attr


def _is_false(call: ast.Call, name: str) -> bool:
    [value] = [word.value for word in call.keywords if word.arg == name]
    return isinstance(value, ast.Constant) and value.value is False


def _is_pickler(call: ast.Call) -> bool:
    return any(isinstance(value, ast.Constant) and value.value in PICKLERS for value in call.args)


MODULES = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_no_module_unpickles(module: str) -> None:
    """Artefacts are JSON, safetensors, Parquet and GGUF; job files are safe YAML."""
    found = set(offences((ROOT / module).read_text(encoding="utf-8")))
    assert found == set(EXPORTS.get(module, []))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import pickle", ["pickle"]),
        ("def f():\n    from joblib import load", ["joblib"]),
        ("import dill as d, cloudpickle.cloudpickle", ["dill", "cloudpickle.cloudpickle"]),
        ("np.load(f, allow_pickle=True)", ["allow_pickle"]),
        ("np.load(f, allow_pickle=wanted)", ["allow_pickle"]),
        ("importlib.import_module('pickle')", ["import_module"]),
        ("yaml.load(f, Loader=L)", ["yaml.load"]),
        ("eval(text)", ["eval"]),
        ("torch.load(f)", ["torch.load"]),
        ("np.load(f, allow_pickle=False); import json; re.compile('a'); yaml.safe_load(f)", []),
    ],
)
def test_offences_are_found(source: str, found: list[str]) -> None:
    """The check itself sees what it is to see."""
    assert offences(source) == found
