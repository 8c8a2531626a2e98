"""How many models this machine can run beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transforms import cpus

if TYPE_CHECKING:
    import pathlib

    import pytest


def test_cores_are_counted_not_processors(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as the processors that share none; a container's quota bounds them."""
    monkeypatch.setattr(cpus, "usable_cpus", lambda: [0, 1, 2, 3])
    for cpu, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings)
    quota: Any = tmp_path / "cpu.max"
    monkeypatch.setattr(cpus, "_CPUS", tmp_path)
    monkeypatch.setattr(cpus, "_QUOTA", quota)

    assert cpus.usable_cores() == 2
    quota.write_text("max 100000")
    assert cpus.usable_cores() == 2
    quota.write_text("150000 100000")
    assert cpus.usable_cores() == 1
    quota.write_text("50000 100000")
    assert cpus.usable_cores() == 1
