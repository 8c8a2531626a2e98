"""One run at a time on an output folder: a second one is told who holds it.

On a disk the operating system holds the lock, and lets go of it when the process dies, however it dies. An
object store knows no locks: there a small object is renewed every few seconds, and one that has not been
renewed for a while is a dead run's. Because clocks differ, it is watched for a while before it is taken.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import threading
import time
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Protocol

import fsspec

from pipelines.errors import OutputHeldError, writing_to
from transforms.journal_files import can_append

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fsspec import AbstractFileSystem

RENEW_SECONDS = 20.0
DEAD_SECONDS = 120.0
WATCH_SECONDS = 30.0
"""Longer than a renewal takes to show."""
_NAME = "state/lock.json"


class OutputLock(Protocol):
    """A lock that is held."""

    def release(self) -> None:
        """Let go of it; releasing twice is harmless."""


@contextlib.contextmanager
def output_lock(output: str) -> Iterator[OutputLock]:
    """Hold the output folder.

    Raises `OutputHeldError` where another run holds it, `OutputError` where it cannot be written.
    """
    with writing_to(output):
        filesystem, folder = fsspec.core.url_to_fs(output)
        lock: OutputLock
        if can_append(filesystem) and fcntl is not None:
            lock = _FileLock(f"{folder}/{_NAME}", output)
        else:
            lock = _ObjectLock(filesystem, f"{folder}/{_NAME}", output)
    try:
        yield lock
    finally:
        lock.release()


def _holder() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "user": _user(),
        "pid": os.getpid(),
        "since": datetime.now(tz=timezone.utc).isoformat(timespec="seconds"),
        "run": uuid.uuid4().hex,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return str(os.getuid())


def _refusal(output: str, holder: Mapping[str, Any], seconds: float | None = None) -> OutputHeldError:
    """What the second run is told; `seconds` is how long the hold of a holder that died would go on."""
    who = f"process {holder.get('pid', '?')} of {holder.get('user', '?')} on {holder.get('host', '?')}"
    dead = "" if seconds is None else f" (if it was killed, its hold ends in {seconds:.0f} s)"
    return OutputHeldError(
        f"output.path: {output} is being written by another run ({who}, since {holder.get('since', '?')}); "
        f"wait for it or stop it{dead}, or give another output.path"
    )


def _parsed(data: bytes) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(data)
        if isinstance(found, dict):
            return found
    return {}


class _FileLock:
    def __init__(self, path: str, output: str) -> None:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - fsspec's path, as text
        while True:
            # The descriptor is not inherited, so that a worker that outlives this process holds nothing.
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _parsed(os.read(self._descriptor, 4096))
                os.close(self._descriptor)
                raise _refusal(output, holder) from None
            if _is_at(self._descriptor, path):
                break
            # Its holder removed the file between our opening and locking it.
            os.close(self._descriptor)
        self._path = path
        os.truncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps(_holder()).encode())

    def release(self) -> None:
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._path)  # noqa: PTH108 - as above
            os.rmdir(os.path.dirname(self._path))  # noqa: PTH106, PTH120 - only where nothing else is in it
        os.close(self._descriptor)
        self._descriptor = -1


def _is_at(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 - as above
    except FileNotFoundError:
        return False


class _ObjectLock:
    def __init__(self, filesystem: AbstractFileSystem, path: str, output: str) -> None:
        self._filesystem, self._path = filesystem, path
        self._holder = _holder()
        self._stop = threading.Event()
        while not self._create():
            found = self._read()
            if found is None:
                continue
            age = time.time() - float(found.get("renewed", 0))
            if age < DEAD_SECONDS or self._lives(found):
                raise _refusal(output, found, max(0.0, DEAD_SECONDS - age))
            self._take(found)
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def _lives(self, found: Mapping[str, Any]) -> bool:
        """Whether the lock changes while one looks: then its holder's clock is only wrong."""
        time.sleep(WATCH_SECONDS)
        return self._read() != found

    def _take(self, found: Mapping[str, Any]) -> None:
        """Remove a dead run's lock; whoever does so may create the next one."""
        if self._read() != found:
            return  # another run did it
        with contextlib.suppress(FileNotFoundError):
            self._filesystem.rm_file(self._path)

    def _data(self) -> bytes:
        return json.dumps({**self._holder, "renewed": time.time()}).encode()

    def _create(self) -> bool:
        """Make the object, unless there is one. Stores that cannot do this in one step are asked twice."""
        try:
            self._filesystem.pipe_file(self._path, self._data(), mode="create")
        except FileExistsError:
            return False
        except (TypeError, NotImplementedError, ValueError):
            if self._read() is not None:
                return False
            self._filesystem.pipe_file(self._path, self._data())
        return self._is_own()

    def _is_own(self) -> bool:
        found = self._read()
        return found is not None and found.get("run") == self._holder["run"]

    def _read(self) -> dict[str, Any] | None:
        self._filesystem.invalidate_cache()
        try:
            return _parsed(self._filesystem.cat_file(self._path))
        except FileNotFoundError:
            return None

    def _renew(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            # A store that is away for a moment costs one renewal; if it stays away, the run notices.
            with contextlib.suppress(Exception):
                # A machine that slept may find that its lock was taken for a dead run's.
                if self._is_own():
                    self._filesystem.pipe_file(self._path, self._data())

    def release(self) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(FileNotFoundError):
            if self._is_own():
                self._filesystem.rm_file(self._path)
