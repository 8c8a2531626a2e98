"""A function in another process: what it returns and raises, and what is told when the process dies."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from transforms.llama_adapter import ModelFileError
from transforms.own_process import OwnProcess, ProcessDiedError

if TYPE_CHECKING:
    from collections.abc import Callable


class OddError(Exception):
    """Cannot be pickled and read back: it takes two arguments and keeps one."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
        self.two = two


def counting(start: int) -> Callable[[str], object]:
    """Make a function that counts its calls, or does what the request says."""
    count = start

    def answer(request: str) -> object:
        nonlocal count
        count += 1
        if request == "refuse":
            raise ModelFileError("a.gguf: no such file")
        if request == "odd":
            raise OddError("strange", "thing")
        if request == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return (count, os.getpid())

    return answer


def test_it_keeps_its_state_and_outlives_errors() -> None:
    """The function is made once; an error is raised here, and the next request is answered."""
    with OwnProcess[str, tuple[int, int]](counting, 5) as process:
        first, where = process.ask("")
        with pytest.raises(ModelFileError, match=r"a\.gguf: no such file"):
            process.ask("refuse")
        with pytest.raises(RuntimeError, match="OddError: strange"):
            process.ask("odd")
        last, there = process.ask("")

    assert (first, last) == (6, 9)
    assert where == there != os.getpid()


def test_a_process_that_dies() -> None:
    """Killed, as by the system where memory is short: the signal is named, then and later."""
    with OwnProcess[str, object](counting, 0) as process:
        for request in ("die", ""):
            with pytest.raises(ProcessDiedError, match=r"before it had answered \(by signal SIGKILL\)"):
                process.ask(request)
