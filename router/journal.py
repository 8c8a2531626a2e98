"""The journal's format: every answer a model gave as one line of JSON, named by what was asked of whom.

docs/journal.md describes it for readers outside this project. No file is opened here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from router.adapters import AdaptedModel
from router.answer_prompt import asked_facts, hosted_facts
from router.calibration import asked_task
from router.generated import read_generated, write_generated
from router.job_generation import GENERATE
from router.job_tasks import ExampleSource
from router.llm_prompt import answer_schema, messages, output_bound
from router.records import Answer, Failure, LabelScores, Shown, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from router.calibration import ChosenPrompt
    from router.catalogue import CatalogueEntry
    from router.job import LlamaCppModel, OpenAIModel, Task

FORMAT = 1
"""Version of the lines and of the files' names; a journal of another version is not read."""

SCORING = 2
"""Raised whenever scoring a label changes so much that earlier answers no longer count."""

GENERATING = 2
"""The same of writing an answer."""

KEY_START, KEY_END = len(b'{"key":"'), len(b'{"key":"') + 32
"""Where the text's key stands in a line, so that an index needs no parsing."""

_LINE_START = b'{"key":"'
_FINAL = b'","final":true,'
_OPEN = b'","final":false,'
_FINGERPRINT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: an answer (or a failed attempt that cost money) about a text under a task."""

    text_key: bytes
    """`router.identity.text_key` of the text and the task: 16 bytes."""
    answer: Answer

    @property
    def final(self) -> bool:
        """Whether asking again would be a waste: labels, scores, or an LLM that twice gave no label."""
        return is_final(self.answer)


def is_final(answer: Answer) -> bool:
    """Whether an answer settles the question; passing troubles (no connection, no money) do not."""
    return answer.failure in (None, Failure.UNUSABLE)


def local_fingerprint(  # noqa: PLR0913 - each is a fact of its own
    task: Task,
    model: LlamaCppModel,
    sha256: str,
    entry: CatalogueEntry,
    chosen: ChosenPrompt | None = None,
    *,
    encoder: str = "",
    retrieval: Mapping[str, Any] | None = None,
) -> str:
    """What decides a local model's answer apart from the text: weights, prompt, context and scoring.

    The price and the threads are not in it: they change the account and the speed, not the answer. `encoder`
    is the digest of the one whose vectors are journaled with the answers; `retrieval` what decides which rows
    and passages are shown with a record (`Retrieval.facts`), None where none are.
    """
    facts = {
        "engine": model.engine,
        "scoring": SCORING,
        "sha256": sha256,
        "encoder": encoder,
        "context": model.context,
        "prompt": model.prompt.model_dump(mode="json"),
        "forms": [entry.without_examples.model_dump(), entry.with_examples.model_dump()],
        "task": _task_facts(asked_task(task, chosen)),
    }
    if isinstance(model, AdaptedModel):
        facts["adapter"] = {"sha256": model.adapter.sha256, "scale": model.adapter.scale}
    if retrieval is not None:
        facts["retrieval"] = retrieval
    if chosen is not None and chosen.form is not None:
        facts |= {"prompt": asdict(chosen.form), "forms": []}
    if chosen is not None and not chosen.label_tree:
        facts["labels"] = "first token"
    if task.kind == GENERATE:
        facts |= {"scoring": None, "generating": GENERATING}
    return facts_digest(facts)


def _task_facts(task: Task) -> dict[str, Any]:
    """The task; where its examples and passages come from is told by what is shown of them."""
    if task.kind == GENERATE:
        return asked_facts(task)
    facts: dict[str, Any] = task.model_dump(mode="json", exclude={"context"})
    if isinstance(task.examples, ExampleSource):
        # As it was before a source could say more, so that earlier answers still count.
        facts["examples"] = {key: facts["examples"][key] for key in ("from", "text", "label")}
    return facts


def hosted_fingerprint(task: Task, model: OpenAIModel, retrieval: Mapping[str, Any] | None = None) -> str:
    """What decides a hosted model's answer apart from the text: endpoint, model, messages and bounds.

    `retrieval` is as for `local_fingerprint`.
    """
    facts: dict[str, Any] = {
        "engine": model.engine,
        "base_url": model.base_url,
        "model": model.model,
        "max_output_tokens": output_bound(task, model.max_output_tokens),
        "messages": messages(task, ""),
        "schema": answer_schema(task),
    }
    if task.kind == GENERATE:
        facts |= hosted_facts(task)
    if retrieval is not None:
        facts |= {"retrieval": retrieval, "context": model.context}
    return facts_digest(facts)


def facts_digest(facts: Mapping[str, Any]) -> str:
    """A fingerprint: 16 hex digits of facts that can be written as JSON."""
    data = json.dumps(facts, sort_keys=True, ensure_ascii=True).encode()
    return hashlib.blake2b(data, digest_size=_FINGERPRINT_BYTES).hexdigest()


def call_name(fingerprint: str, text_key: bytes) -> bytes:
    """The name of a question to a model, in the ledger of a budget."""
    return bytes.fromhex(fingerprint) + text_key


def write_entry(entry: Entry) -> bytes:
    """The entry as a line, its end included."""
    answer, usage = entry.answer, entry.answer.usage
    body: dict[str, Any] = {
        "usage": {
            "input_tokens": usage.input_tokens,
            "cached_tokens": usage.cached_tokens,
            "output_tokens": usage.output_tokens,
            "seconds": usage.seconds,
            "usd": f"{usage.usd:f}",
            **({} if usage.at is None else {"at": round(usage.at, 3)}),
        }
    }
    if answer.scores is not None:
        body["probabilities"] = answer.scores.probabilities.tolist()
        body["parts"] = answer.scores.parts
        for name, values in (
            ("features", answer.scores.features),
            ("embedding", answer.scores.embedding),
        ):
            if values is not None:
                body[name] = base64.b64encode(values.astype("<f2").tobytes()).decode()
    if answer.labels is not None:
        body["labels"] = list(answer.labels)
    if answer.generated is not None:
        body |= write_generated(answer.generated)
    if answer.shown is not None:
        body["shown"] = asdict(answer.shown)
    extras = {"failure": answer.failure, "detail": answer.detail, "raw": answer.raw}
    body |= {name: value for name, value in extras.items() if value}
    if answer.confidence is not None:
        body["confidence"] = answer.confidence
    mark = _FINAL if entry.final else _OPEN
    return _LINE_START + entry.text_key.hex().encode() + mark + orjson.dumps(body)[1:] + b"\n"


def is_whole(line: bytes) -> bool:
    """Whether a line can be an entry: it begins and ends as one. A torn line does not."""
    return line.startswith(_LINE_START) and line.endswith(b"}\n") and len(line) > KEY_END


def is_settled(line: bytes) -> bool:
    """Whether a whole line holds a final answer."""
    return line.startswith(_FINAL, KEY_END)


def read_entry(line: bytes, model: str) -> Entry | None:
    """The entry of a line as an answer of `model`; None where the line is damaged."""
    if not is_whole(line):
        return None
    try:
        data = orjson.loads(line)
        used = data["usage"]
        usage = Usage(
            int(used["input_tokens"]),
            int(used["cached_tokens"]),
            int(used["output_tokens"]),
            float(used["seconds"]),
            Decimal(used["usd"]),
            float(used["at"]) if "at" in used else None,
        )
        labels, failure = data.get("labels"), data.get("failure")
        answer = Answer(
            model,
            usage,
            scores=_scores(data),
            labels=None if labels is None else tuple(labels),
            failure=None if failure is None else Failure(failure),
            detail=data.get("detail", ""),
            raw=data.get("raw"),
            generated=read_generated(data),
            shown=_shown(data),
            confidence=None if data.get("confidence") is None else float(data["confidence"]),
        )
        return Entry(bytes.fromhex(data["key"]), answer)
    except (ValueError, KeyError, TypeError, InvalidOperation):
        return None


def _scores(data: Mapping[str, Any]) -> LabelScores | None:
    if "probabilities" not in data:
        return None
    values = data["probabilities"]
    # NumPy takes longer to look at a few numbers.
    if not all(map(math.isfinite, values)):
        raise ValueError("a probability is missing")
    return LabelScores(
        np.array(values, dtype=np.float64),
        _halves(data, "features"),
        int(data["parts"]),
        _halves(data, "embedding"),
    )


def _shown(data: Mapping[str, Any]) -> Shown | None:
    if "shown" not in data:
        return None
    return Shown(*(tuple(map(str, data["shown"][key])) for key in ("examples", "passages")))


def _halves(data: Mapping[str, Any], name: str) -> npt.NDArray[np.float32] | None:
    if name not in data:
        return None
    return np.frombuffer(base64.b64decode(data[name]), dtype="<f2").astype(np.float32)


def as_journaled(answer: Answer, *, features: bool, embedding: bool) -> Answer:
    """The answer without what no learned head needs: a tenth of the size."""
    scores = answer.scores
    if scores is None:
        return answer
    kept = replace(
        scores,
        features=scores.features if features else None,
        embedding=scores.embedding if embedding else None,
    )
    return replace(answer, scores=kept)


def header(fingerprint: str, model: str, task: str) -> bytes:
    """The first line of a file: what the answers in it are to."""
    facts = {"format": FORMAT, "fingerprint": fingerprint, "model": model, "task": task}
    return orjson.dumps(facts) + b"\n"
