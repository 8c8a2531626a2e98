"""Finding and opening input files on any filesystem that fsspec knows."""

from __future__ import annotations

import difflib
import io
import os
import pathlib
import posixpath
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from fsspec.core import url_to_fs
from fsspec.implementations.memory import MemoryFileSystem

from transforms.splits import InputError, one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from fsspec import AbstractFileSystem

_WILDCARDS = "*?["
_DATASETS = "hf://datasets/"

_KINDS = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
_COMPRESSIONS = (".gz", ".zst")
KNOWN_SUFFIXES = (
    ".parquet, .jsonl, .ndjson, .json (each line an object), the last three also with .gz or .zst"
)


@dataclass(frozen=True, slots=True)
class File:
    """An input file: a URL that fsspec opens (a local one is an absolute path) and its size if known."""

    url: str
    size: int | None


def is_dataset(path: str) -> bool:
    """Whether `path` is for `datasets.load_dataset`, and not a single file in a repository of the Hub."""
    if not path.startswith(_DATASETS):
        return False
    name = path.removeprefix(_DATASETS)
    is_file = not name.startswith("/") and name.count("/") > 1 and kind_of(name) is not None
    return not is_file


def kind_of(url: str) -> str | None:
    """`jsonl` or `parquet`, told by the suffix; None where it is not a known one."""
    name, suffix = posixpath.splitext(_path_of(url).lower())
    if suffix in _COMPRESSIONS:
        inner = _KINDS.get(posixpath.splitext(name)[1])
        return inner if inner == "jsonl" else None
    return _KINDS.get(suffix)


def compression_of(url: str) -> str | None:
    """`gz`, `zst`, or None for a file that is not compressed."""
    suffix = posixpath.splitext(_path_of(url).lower())[1]
    return suffix[1:] if suffix in _COMPRESSIONS else None


def open_binary(url: str, *, cached: bool = True) -> IO[bytes]:
    """Open a file to be read from start to end (`cached`), or in ranges chosen by the caller (not)."""
    filesystem, root = url_to_fs(url)
    if isinstance(filesystem, MemoryFileSystem):
        # It gives all who open a file one and the same object, with one position.
        return io.BytesIO(filesystem.cat_file(root))
    # The default cache reads megabytes ahead of each range, which jumping between columns would throw away.
    options = {} if cached or is_local(url) else {"cache_type": "none"}
    return cast("IO[bytes]", filesystem.open(root, "rb", **options))


def read_file(url: str) -> bytes:
    """All bytes of a file. Raises `OSError` where it cannot be read, `InputError` for a strange URL."""
    filesystem, path = _filesystem(url)
    return bytes(filesystem.cat_file(path))


def is_local(url: str) -> bool:
    """Whether the URL is a path on this machine."""
    return "://" not in url or url.startswith(("file://", "local://"))


def absolute(url: str) -> str:
    """The same place, for a process that runs in another folder; what has a scheme is left as it is."""
    return url if "://" in url else str(pathlib.Path(url).expanduser().absolute())


def find_files(path: str) -> list[File]:
    """The files that a path, URL or glob (`*`, `?`, `**`) names, sorted by URL.

    Of what a glob finds, folders and names that begin with `.` or `_` (markers such as `_SUCCESS`) are left
    out, unless the glob itself begins so. A name that exists is taken literally even if it has wildcards.

    Raises:
        InputError: where nothing matches, the filesystem cannot be reached, or its package is missing.
    """
    filesystem, root = _filesystem(path)
    found = _ask(path, lambda: _list(filesystem, root))
    if not found:
        raise InputError(_nothing_there(path, root))
    folders = [name for name, info in found.items() if info.get("type") == "directory"]
    if folders and len(folders) == len(found):
        raise InputError(
            f"{path}: is a folder; name its files with a glob, such as {path.rstrip('/')}/*.parquet"
        )
    files = [
        File(_url_of(filesystem, name), info.get("size"))
        for name, info in found.items()
        if info.get("type") != "directory"
    ]
    return sorted(files, key=lambda file: file.url)


def _path_of(url: str) -> str:
    return url.split("?", 1)[0] if url.startswith(("http://", "https://")) else url


def _filesystem(path: str) -> tuple[AbstractFileSystem, str]:
    try:
        filesystem, root = url_to_fs(path)
    except ImportError as error:
        protocol = path.split("://", 1)[0]
        raise InputError(
            f"{path}: {protocol}:// needs a package that is missing: {one_line(error)}"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: {one_line(error)}; use a path or a URL that fsspec knows") from error
    filesystem.invalidate_cache()
    return filesystem, root


def _list(filesystem: AbstractFileSystem, root: str) -> dict[str, dict[str, Any]]:
    try:
        return {root: filesystem.info(root)}
    except FileNotFoundError:
        pass
    if not any(character in root for character in _WILDCARDS):
        return {}
    hidden = posixpath.basename(root).startswith((".", "_"))
    return {
        name: info
        for name, info in filesystem.glob(root, detail=True).items()
        if info.get("type") != "directory" and (hidden or not posixpath.basename(name).startswith((".", "_")))
    }


def _ask(path: str, question: Callable[[], dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    try:
        return question()
    # Every filesystem has exception types of its own (botocore, google.auth, aiohttp, ...), and here, on the
    # driver, all of them mean the same to the user: this path cannot be listed.
    except Exception as error:
        raise InputError(
            f"{path}: cannot be listed: {type(error).__name__}: {one_line(error)}; check the address and the "
            "credentials"
        ) from error


def _url_of(filesystem: AbstractFileSystem, name: str) -> str:
    protocol = filesystem.protocol if isinstance(filesystem.protocol, str) else filesystem.protocol[0]
    # A bare path reads better in messages than file:///path, and fsspec opens both.
    return name if protocol == "file" else str(filesystem.unstrip_protocol(name))


def _nothing_there(path: str, root: str) -> str:
    message = f"{path}: no such file, and no file matches it as a glob"
    if not is_local(path):
        return message + "; check bucket and folder"
    parent, wanted = posixpath.split(root)
    while parent not in ("", "/") and not os.path.isdir(parent):  # noqa: PTH112
        parent, wanted = posixpath.split(parent)
    there = sorted(os.listdir(parent or "/"))  # noqa: PTH208
    near = difflib.get_close_matches(wanted, there, n=1, cutoff=0.4)
    if near:
        return f'{message}; the nearest name is "{posixpath.join(parent, near[0])}"'
    return f"{message}; {parent} has " + (", ".join(there[:10]) if there else "no files")
