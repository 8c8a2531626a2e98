"""Measure llama.cpp's kernels: a model file in several formats, builds and settings, by turns.

    python -m tools.measure_kernels plain: q8_0:file=out/model-q8_0.gguf --model smollm2
    python -m tools.measure_kernels plain: flash:flash_attn_type=1 other:build=FOLDER --model gemma3

Each variant is NAME:KEY=VALUE,... in a process of its own. `file` is another file of the model, `build` a
folder that holds a `llama_cpp` package of the same version, `env.NAME` a variable of the environment,
`extra_bufts=0` leaves repacked weights out, `threads` is their number, `pack` how many records are packed,
and every other key a field of llama.cpp's context parameters. All evaluate 512 tokens at once, then texts of
20 to 30 tokens one by one and packed, one variant after the other. Ratios are medians over pairs of turns
with the first variant, to which labels and probabilities are compared, too.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIMIT_TOKENS = 512
_WAYS = ("at_once", "one_by_one", "packed")


class Worker:
    """A variant, loaded."""

    def __init__(self, spec: dict[str, str], model: str) -> None:
        """Load the model as the variant says."""
        from decimal import Decimal  # noqa: PLC0415 - only workers load all this

        from pipelines.bench import MODELS  # noqa: PLC0415
        from router.job import LlamaCppModel  # noqa: PLC0415
        from transforms import llama_adapter, llama_context  # noqa: PLC0415
        from transforms.bench_engine import TASK  # noqa: PLC0415
        from transforms.bench_texts import shipped_texts, short_texts  # noqa: PLC0415
        from transforms.label_scorer import LabelScorer, ScorerConfig  # noqa: PLC0415
        from transforms.llama_library import library  # noqa: PLC0415
        from transforms.local_scorer import LocalModel, prompt_of  # noqa: PLC0415
        from transforms.model_files import fetch_model  # noqa: PLC0415

        spec = dict(spec)
        source = LlamaCppModel(engine="llama_cpp", source=MODELS.get(model, model))
        path = pathlib.Path(spec.pop("file", "") or fetch_model(model, source))
        self.threads = int(spec.pop("threads", "1"))
        pack = int(spec.pop("pack", "16"))
        plain_model, plain = library().llama_model_default_params, llama_context._parameters  # noqa: SLF001
        extra = bool(int(spec.pop("extra_bufts", "1")))

        def model_parameters() -> Any:  # noqa: ANN401 - C
            found = plain_model()
            found.use_extra_bufts = extra
            return found

        def parameters(config: llama_context.ContextConfig) -> Any:  # noqa: ANN401 - C
            found = plain(config)
            for name, value in spec.items():
                setattr(found, name, int(value))
            return found

        library().llama_model_default_params = model_parameters
        llama_context._parameters = parameters  # noqa: SLF001
        self.model = llama_adapter.LlamaModel(path)
        local = LocalModel("bench", source, self.threads, Decimal(0))
        task, prompt, _ = prompt_of(self.model, local, TASK)
        self.single, self.packed = (
            LabelScorer(self.model, task, prompt, ScorerConfig(self.threads, pack=count))
            for count in (1, pack)
        )
        self.texts = short_texts(shipped_texts(), lambda text: len(self.model.tokenize(text, special=False)))
        self.context = self.model.open_context(
            llama_context.ContextConfig(2 * _LIMIT_TOKENS, threads=self.threads)
        )
        words = self.model.tokenize("The quick brown fox is not quick. " * 100, special=False)
        self.run = words[:_LIMIT_TOKENS]

    def answer(self, way: str, turn: int, records: int) -> dict[str, Any]:
        """Do one turn; its tokens a second."""
        if way == "about":
            return self.about(records)
        begin = turn * records % len(self.texts)
        texts = (self.texts + self.texts)[begin : begin + records * (4 if way == "packed" else 1)]
        tokens = sum(len(self.single.run_of(text)) for text in texts)
        started = time.perf_counter()
        if way == "at_once":
            self.context.decode_run(self.run, 0, want_last=True)
            tokens = _LIMIT_TOKENS
        elif way == "one_by_one":
            for text in texts:
                self.single.score(text)
        else:
            self.packed.score_many(texts)
        seconds = time.perf_counter() - started
        if way == "at_once":
            self.context.forget(0, 0)
        return {"rate": tokens / seconds}

    def about(self, records: int) -> dict[str, Any]:
        """What it answers, and what the process takes of memory."""
        from transforms.llama_library import build_features  # noqa: PLC0415

        found = [self.single.score(text)[0].probabilities.tolist() for text in self.texts[: 4 * records]]
        self.packed.score_many(self.texts[:2])
        status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
        resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return {
            "probabilities": found,
            "parameters": self.model.layer_parameters,
            "resident_mb": round(int(resident) / 1e3),
            "features": build_features(),
        }


def work(spec: dict[str, str], model: str) -> int:
    """Answer the questions on stdin."""
    worker = Worker(spec, model)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(worker.answer(*json.loads(line))) + "\n")
        sys.stdout.flush()
    return 0


class Variant:
    """A process that measures one variant."""

    def __init__(self, said: str, model: str) -> None:
        """Start it."""
        self.name, _, rest = said.partition(":")
        spec = dict(pair.split("=", 1) for pair in rest.split(",") if pair)
        environment = dict(os.environ)
        if build := spec.pop("build", None):
            environment["PYTHONPATH"] = os.pathsep.join([build, str(pathlib.Path.cwd())])
        for name in [name for name in spec if name.startswith("env.")]:
            environment[name.removeprefix("env.")] = spec.pop(name)
        command = [
            sys.executable,
            "-m",
            "tools.measure_kernels",
            "--model",
            model,
            "--work",
            json.dumps(spec),
        ]
        self.threads = int(spec.get("threads", "1"))
        self._process = subprocess.Popen(
            [*command, "--work", json.dumps(spec)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.rates: dict[str, list[float]] = {way: [] for way in _WAYS}

    def ask(self, way: str, turn: int, records: int) -> Any:  # noqa: ANN401 - JSON
        """One turn's answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process has no pipes")
        self._process.stdin.write(json.dumps([way, turn, records]) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: its process ended; see above")
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def measure(variants: Sequence[Variant], repeats: int, records: int) -> list[dict[str, Any]]:
    """Measure by turns, forwards and backwards."""
    about = [variant.ask("about", 0, records) for variant in variants]
    for turn in range(repeats):
        for way in _WAYS:
            for variant in variants[:: 1 if turn % 2 == 0 else -1]:
                variant.rates[way].append(variant.ask(way, turn, records)["rate"])
    first = variants[0]
    lines = []
    for variant, said in zip(variants, about, strict=True):
        line: dict[str, Any] = {"variant": variant.name, "resident_mb": said["resident_mb"]}
        for way in _WAYS:
            median = statistics.median(variant.rates[way])
            ratios = [
                ours / theirs for ours, theirs in zip(variant.rates[way], first.rates[way], strict=True)
            ]
            line[way] = {
                "tokens_per_second": round(median, 1),
                "gflops_per_core": round(2 * said["parameters"] * median / variant.threads / 1e9, 1),
                "ratio": round(statistics.median(ratios), 3),
            }
        pairs = list(zip(said["probabilities"], about[0]["probabilities"], strict=True))
        line["largest_difference"] = round(
            max(abs(a - b) for ours, theirs in pairs for a, b in zip(ours, theirs, strict=True)), 6
        )
        same = sum(ours.index(max(ours)) == theirs.index(max(theirs)) for ours, theirs in pairs)
        line["same_label"] = round(same / len(pairs), 3)
        lines.append(line)
    return lines


def main() -> int:
    """Run the measurement and print its lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", default=["plain:"], metavar="NAME:KEY=VALUE,...")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--records", type=int, default=6)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        return work(json.loads(arguments.work), arguments.model)
    variants = [Variant(said, arguments.model) for said in arguments.variants]
    for line in measure(variants, arguments.repeats, arguments.records):
        sys.stdout.write(json.dumps(line) + "\n")
    for variant in variants:
        variant.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
