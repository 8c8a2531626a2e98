"""`tekizai router evaluate`: how good the router's heads are on labelled rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.router_hindsight import known_confidence, learn_hindsight
from router import baselines
from router.evaluation import quality, share
from router.findings import Wanted
from router.job import RouterSettings
from router.language import identify_language
from router.route_training import RouteRows, fit_route_head
from router.routing_quality import routing_quality
from router.text_view import view_texts
from transforms.route_records import RouterPlace, find_encoder, load_router

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pipelines.router_training import LabelledTexts
    from router.text_view import Encode


def evaluate_head(
    rows: LabelledTexts, head: str, *, heads: str | None, train: LabelledTexts | None = None
) -> dict[str, Any]:
    """How good a head is on labelled rows, in the form of `pipelines.evaluate`, by language.

    With the rows that it was trained on, baselines are fitted to them: the commonest label and naive Bayes.
    For complexity those rows are a finished job's, and complexity after the answer is fitted to them.
    """
    settings = RouterSettings(heads=heads)
    place = RouterPlace(heads, find_encoder(settings))
    router = load_router(place).router
    classifier = {"task": router.task, "domain": router.domain, "complexity": router.complexity}[head]
    if head == "complexity":
        return _complexity(rows, place, train)
    if classifier is None:
        raise ValueError(f"--heads: there is no head {head!r} in {heads}; train it first")
    unknown = sorted(set(rows.labels) - set(classifier.labels))
    probabilities = classifier.probabilities(view_texts(rows.texts, router.encode))
    said = [classifier.labels[at] for at in probabilities.argmax(axis=1)]
    confidence = [float(value) for value in probabilities.max(axis=1)]
    languages = [identify_language(text) for text in rows.texts]
    found = {
        "kind": "single_label",
        **quality(said, rows.labels, confidence),
        "by": {"language": _by(languages, said, rows.labels, confidence)},
    }
    result: dict[str, Any] = {
        "name": f"router, {head}",
        "records": {"annotated": len(said), "with_gold": len(said)},
        "tasks": {head: found},
        "labels_it_cannot_say": unknown,
    }
    if train is not None:
        result["baselines"] = _baselines(rows, train)
    return result


def _by(
    parts: Sequence[str], said: Sequence[str], gold: Sequence[str], confidence: Sequence[float]
) -> dict[str, Any]:
    found = {}
    for part in sorted(set(parts)):
        at = [number for number, one in enumerate(parts) if one == part]
        found[part] = quality([said[i] for i in at], [gold[i] for i in at], [confidence[i] for i in at])
    return found


def _baselines(rows: LabelledTexts, train: LabelledTexts) -> dict[str, Any]:
    pairs = list(zip(train.texts, train.labels, strict=True))
    ways = {
        "majority": baselines.majority(train.labels, rows.texts),
        "naive Bayes": baselines.naive_bayes(pairs, rows.texts),
    }
    found = {}
    for name, said in ways.items():
        all_of_it = quality(said, rows.labels, [None] * len(said))
        found[name] = {"accuracy": all_of_it["accuracy"], "macro_f1": all_of_it["macro_f1"]}
    return found


def _complexity(rows: LabelledTexts, place: RouterPlace, train: LabelledTexts | None) -> dict[str, Any]:
    """How well the head, or the prior, ranks the records, the small model's confidence, and all together."""
    router = load_router(place).router
    found = router.find(rows.texts, Wanted(task=False, domain=False))
    scores = {"complexity": np.array([one.complexity or 0.0 for one in found])}
    sure = known_confidence(rows)
    if sure is not None:
        scores["confidence"] = -sure
        after = None if train is None else _after(rows, train, router.encode)
        if after is not None:
            scores["after"] = after
    small, large = zip(*rows.outcomes, strict=True)
    return {
        "records": len(found),
        "small_correct": share(sum(small), len(small)).rate,
        "large_correct": share(sum(large), len(large)).rate,
        **{name: asdict(routing_quality(score, small, large)) for name, score in scores.items()},
    }


def _after(rows: LabelledTexts, train: LabelledTexts, encode: Encode) -> npt.NDArray[np.float64] | None:
    views = view_texts(train.texts, encode)
    learned = learn_hindsight(train, views, fit_route_head(RouteRows(views, train.labels)))
    return None if learned is None else learned.wrong_probabilities(rows, view_texts(rows.texts, encode))
