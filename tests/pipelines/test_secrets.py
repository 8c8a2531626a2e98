"""A key that is planted in the environment or pasted into a job file is nowhere to be found after a run."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import traceback
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from router.job import OpenAIModel
from router.job_loading import JobError, parse_job
from tests.fake_llm_server import Behaviour, FakeLlmServer, failing
from transforms.llm_access import LlmStop, preflight

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable, Mapping

KEY = "sk-planted-Zx9Yw8Vu7Ts6Rq5Po4Nm3"
UNUSUAL = "planted.Zx9+w8/Vu7~Ts6=="
"""A key that no pattern of well-known providers fits."""
DONE, FAILED, WRONG, TOO_MANY_DEAD = 0, 1, 2, 3


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    said: bytes
    """All that it printed."""
    files: dict[str, bytes]
    """The output folder."""

    def has(self, wanted: str) -> list[str]:
        """Where a text is, also in the spellings that it has in JSON, in a URL and in base64."""
        in_json = json.dumps(wanted)[1:-1]
        slashed = in_json.replace("/", "\\/")
        spellings = {
            wanted,
            in_json,
            slashed,
            # JSON that is kept as text in JSON.
            json.dumps(in_json)[1:-1],
            json.dumps(slashed)[1:-1],
            urllib.parse.quote(wanted, safe=""),
            base64.b64encode(wanted.encode()).decode().rstrip("="),
        }
        places = {"the terminal": self.said} | self.files
        return sorted(
            {place for place, data in places.items() for text in spellings if text.encode() in data}
        )


def hosted(base_url: str) -> dict[str, Any]:
    """A model behind an endpoint whose key is in MY_API_KEY."""
    price = {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "1"}
    model = {"engine": "openai", "model": "fake", "base_url": base_url, "api_key_env": "MY_API_KEY"}
    return {**model, "price": price, "max_retries": 0}


def run(
    folder: pathlib.Path, model: dict[str, Any], key: str, *options: str, rows: Iterable[str] = "a"
) -> Ran:
    """Run a job that asks the hosted model alone, by the real command; each row is its id and text."""
    lines = [json.dumps({"id": row, "text": row}) + "\n" for row in rows]
    (folder / "in.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "job.yaml").write_text(job_text(folder, model), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "run", str(folder / "job.yaml"), *options],
        capture_output=True,
        check=False,
        env={**os.environ, "MY_API_KEY": key, "OPENAI_LOG": "debug"},
    )
    out = folder / "out"
    files = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    return Ran(done.returncode, done.stdout + done.stderr, files)


def job_text(folder: pathlib.Path, model: dict[str, Any]) -> str:
    """The job file."""
    labels = [{"name": "negative"}, {"name": "positive"}]
    job = {
        "name": "t",
        "input": {"path": str(folder / "in.jsonl"), "id": "id"},
        "output": {"path": str(folder / "out"), "format": "jsonl"},
        "tasks": [{"name": "t", "instruction": "Judge.", "labels": labels}],
        "models": {"large": model},
        "routing": {"default": "large"},
    }
    return json.dumps(job)


@pytest.mark.parametrize("key", [KEY, UNUSUAL])
def test_a_run_that_succeeds(tmp_path: pathlib.Path, key: str) -> None:
    """The key reaches the endpoint, and neither the output nor what Beam and OpenAI's client log."""
    with FakeLlmServer(key=key) as server:
        ran = run(tmp_path, hosted(server.base_url), key, "--verbose")

    assert ran.code == DONE, ran.said
    assert server.request_headers[0]["authorization"] == f"Bearer {key}"
    assert {"summary.json", "report.html", "state/manifest.json"} <= ran.files.keys()
    # The name of the variable is part of the job, which the report shows.
    assert ran.has("MY_API_KEY") == ["report.html", "state/manifest.json"]
    assert ran.has(key) == []


@pytest.mark.parametrize(("key", "options"), [(KEY, ()), (UNUSUAL, ("--verbose",))])
def test_a_key_that_is_refused(tmp_path: pathlib.Path, key: str, options: tuple[str, ...]) -> None:
    """The endpoint repeats the key in its error: it is told without, also in the traceback."""
    with FakeLlmServer(key="another") as server:
        ran = run(tmp_path, hosted(server.base_url), key, *options)

    assert ran.code == FAILED
    assert b"Incorrect API key provided: Bearer ***" in ran.said
    assert (b"Traceback" in ran.said) == bool(options)
    assert ran.has(key) == []


REPEATING = {
    "500": failing(500, f"Bearer {UNUSUAL} made us fall over"),
    "429": failing(429, f"{UNUSUAL} is too fast", x_key=UNUSUAL),
    "402": failing(402, f"{UNUSUAL} has no money"),
    "400": failing(400, f"bad request by {UNUSUAL}: " + "x" * 600 + UNUSUAL),
    "no JSON": Behaviour(status=502, body=f"<p>{UNUSUAL}</p>".encode()),
    "no message": Behaviour(status=500, body=json.dumps({"error": {"seen": [UNUSUAL]}}).encode()),
    "answer": Behaviour(answer=f"Your key is {UNUSUAL}."),
    "refusal": Behaviour(message={"refusal": f"I must not tell {UNUSUAL}"}),
    "no choices": Behaviour(body=json.dumps({"choices": [], "key": UNUSUAL}).replace("/", "\\/").encode()),
}


def test_an_endpoint_that_repeats_the_key(tmp_path: pathlib.Path) -> None:
    """However it says and spells it: dead letters, journal, report and log have it without the key."""
    with FakeLlmServer(key=UNUSUAL, behave=lambda asked: REPEATING[text_of(asked)]) as server:
        ran = run(tmp_path, hosted(server.base_url), UNUSUAL, "--verbose", rows=REPEATING)

    assert ran.code == TOO_MANY_DEAD, ran.said
    [letters] = [data for name, data in ran.files.items() if name.startswith("dead_letters")]
    reasons = {letter["id"]: letter["reason"] for letter in map(json.loads, letters.splitlines())}
    unusable = {"400", "answer", "refusal", "no choices"}
    assert reasons == {name: "llm_unusable" if name in unusable else "llm_unavailable" for name in REPEATING}
    assert letters.count(b"***") >= len(unusable)
    assert ran.has(UNUSUAL) == []


def text_of(asked: Mapping[str, Any]) -> str:
    """The record's text in a request, also where it is the second try."""
    [text] = [said["content"] for said in asked["messages"] if said["content"] in REPEATING]
    return str(text)


@pytest.mark.parametrize(
    "place", [{"api_key_env": KEY}, {"base_url": f"http://127.0.0.1:9/v1?api-key={KEY}"}]
)
def test_a_key_in_the_job_file(tmp_path: pathlib.Path, place: dict[str, Any]) -> None:
    """The command refuses a key in a wrong place before anything is asked, and does not repeat it."""
    ran = run(tmp_path, hosted("http://127.0.0.1:9/v1") | place, "unused")

    assert ran.code == WRONG, ran.said
    assert b"models.large" in ran.said or b"model 'fake'" in ran.said
    assert ran.files == {}
    assert ran.has(KEY) == []


@pytest.mark.parametrize(
    ("place", "secret"),
    [
        ({"api_key_env": KEY}, KEY),
        ({"api_key_env": KEY.replace("-", "_")}, KEY.replace("-", "_")),
        ({"api_key_env": "plantedkeyofletters"}, "plantedkeyofletters"),
        ({"api_key_env": UNUSUAL}, UNUSUAL),
        ({"base_url": f"http://{KEY}@127.0.0.1:9/v1"}, KEY),
        ({"base_url": f"http://user:{UNUSUAL}@127.0.0.1:9/v1"}, UNUSUAL),
        ({"base_url": f"http://127.0.0.1:9/v1?api-key={KEY}"}, KEY),
        ({"base_url": f"http://127.0.0.1:9/v1#{KEY}"}, KEY),
        ({"base_url": KEY}, KEY),
        ({"api_key": UNUSUAL}, UNUSUAL),
        ({"timeout_seconds": KEY}, KEY),
        ({"price": KEY}, KEY),
        ({KEY: 1}, KEY),
    ],
    ids=lambda value: "/".join(value)[:12] if isinstance(value, dict) else "",
)
def test_a_key_in_a_wrong_place_is_not_repeated(
    tmp_path: pathlib.Path, place: dict[str, Any], secret: str
) -> None:
    """Neither the message nor the traceback that `--verbose` shows holds what was pasted."""
    with pytest.raises((JobError, LlmStop)) as caught:
        checked(job_text(tmp_path, hosted("http://127.0.0.1:9/v1") | place))

    said = "".join(traceback.format_exception(caught.value))
    assert Ran(WRONG, said.encode(), {}).has(secret) == []


def checked(text: str) -> None:
    """What happens to a job file before the job begins, as far as its models are concerned."""
    model = parse_job(text, environ={}).models["large"]
    assert isinstance(model, OpenAIModel)
    preflight(model, {})
