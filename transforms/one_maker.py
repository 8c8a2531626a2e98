"""The right to make a file that several processes of a machine want: one makes it, and the others wait."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


@contextlib.contextmanager
def one_maker(target: pathlib.Path) -> Iterator[bool]:
    """Wait until no other process makes the file, and hold the right to; True where nobody else can.

    The operating system takes it back when the process dies, however it does. Where there are no such locks
    (Windows, some networks' disks) several may make the file at once: give it its name when it is whole.
    Raises `OSError` where the folder beside the target's cannot be written.
    """
    locks = target.parent.with_name("locks")
    locks.mkdir(parents=True, exist_ok=True)
    # The lock's file stays: who removed it would let in others beside one who waits for it.
    with (locks / target.stem).open("wb") as lock:
        alone = False
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
                alone = True
        yield alone
