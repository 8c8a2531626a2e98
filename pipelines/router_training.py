"""`tekizai router train`: the router's own heads, from labelled rows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.job_outcomes import is_output, read_outcomes
from pipelines.router_hindsight import rank_held_back
from router.assets import asset_path
from router.head_training import log_losses
from router.job import RouterSettings
from router.job_wording import suggestion
from router.route_files import CARD, RouteHeads, write_heads
from router.route_labels import EASY, HARD, HEADS
from router.route_training import RouteRows, fit_route_head
from router.text_view import view_texts
from transforms.read_columns import read_columns
from transforms.route_records import exported_folder, find_encoder, load_heads
from transforms.shipped_rows import shipped_rows
from transforms.splits import InputError
from transforms.text_encoder import ENCODER, TextEncoder, read_card, shared_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from router.route_head import RouteHead
    from router.route_training import FittedHead
    from router.text_view import TextView

SHIPPED = frozenset({"task", "domain"})
"""Heads for which rows ship with Tekizai."""
_SMALL, _LARGE = "small_correct", "large_correct"
_TRUE, _FALSE = frozenset({True, "true", "1"}), frozenset({False, "false", "0"})


@dataclass(frozen=True)
class LabelledTexts:
    """Rows to train on, or to evaluate with."""

    texts: Sequence[str]
    labels: Sequence[str]
    outcomes: Sequence[tuple[bool, bool]] = ()
    """For complexity: whether the small and the large model were right."""
    confidences: Sequence[float | None] = ()
    """For complexity: how sure the small model was, where it is known."""
    answers: Sequence[str] = ()
    """For complexity: what it said."""
    truths: Sequence[str] = ()
    """For complexity: what is right."""


def check_head(head: str) -> None:
    """Refuse a head that the router does not have."""
    if head not in HEADS:
        raise ValueError(f"--head: {head!r} is no head of the router; {suggestion(head, HEADS)}")


def read_labelled(data: str, head: str, text: str, label: str | None) -> LabelledTexts:
    """The rows for a head: a text and its label, or which of two models was right.

    `label` names the column; None: the one that is called like the head, else `label`. For complexity a
    finished output may stand in place of rows.
    """
    check_head(head)
    if head == "complexity":
        return _outcomes(data, text)
    names = (label,) if label is not None else (head, "label")
    for at, name in enumerate(names):
        try:
            rows = list(read_columns(data, text, (name,)))
        except InputError:
            if at + 1 == len(names):
                raise
            continue
        return LabelledTexts([one for one, _ in rows], [str(values[name]) for _, values in rows])
    raise InputError(f"{data}: no column with labels")


def _outcomes(data: str, text: str) -> LabelledTexts:
    if is_output(data):
        found = read_outcomes(data)
        return LabelledTexts(
            found.texts,
            _hardness(found.outcomes),
            found.outcomes,
            found.confidences,
            found.answers,
            found.truths,
        )
    rows = list(read_columns(data, text, (_SMALL, _LARGE)))
    outcomes = [(_truth(values[_SMALL], data), _truth(values[_LARGE], data)) for _, values in rows]
    return LabelledTexts([one for one, _ in rows], _hardness(outcomes), outcomes)


def _hardness(outcomes: Sequence[tuple[bool, bool]]) -> list[str]:
    return [HARD if large and not small else EASY for small, large in outcomes]


def _truth(value: object, data: str) -> bool:
    lowered = value.lower() if isinstance(value, str) else value
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise InputError(f"{data}: {value!r} in {_SMALL} or {_LARGE} is neither true nor false")


@dataclass(frozen=True)
class Training:
    """Where a head goes, and which encoder it looks at."""

    output: Path
    """The folder to write; what it holds of other heads stays, where the encoder is the same."""
    base: str | None = None
    """The folder with the other heads; None: the output itself if there is one, else the shipped ones."""
    encoder: str | None = None
    """Another encoder, by a Hugging Face name or a path; it is exported if it has not been."""
    prefix: str = ""
    """What that encoder wants before each text."""
    alone: bool = False
    """Whether only the given rows count; else the shipped rows of the same labels count half."""
    tune: bool = False
    """Whether the encoder is trained on the rows too; it is then written beside the heads."""

    @property
    def others(self) -> str | None:
        """The folder with the other heads; None: the shipped ones."""
        if self.base is None and (self.output / CARD).exists():
            return str(self.output)
        return self.base


def train_head(
    rows: LabelledTexts, head: str, training: Training, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Fit a head and write it with the others into a folder; returns what it is worth on held-back rows.

    Heads of another encoder are fitted anew to the rows that ship with Tekizai; of complexity, for which
    there are none, the prior stands in. `tell` is given a line about what is being done. Raises what
    `read_labelled`, `fit_route_head`, `export_encoder` and `tune_head` raise.
    """
    with TemporaryDirectory() as scratch:
        found = _fitted(rows, head, training, Path(scratch), tell)
        encoder = TextEncoder(found.folder)
        others = load_heads(training.others)
        heads, told = dict(others.heads), dict(others.about)
        if others.encoder != encoder.card.digest:
            heads, told = {}, {}
            for name in SHIPPED.difference(found.heads):
                tell(f"fitting the head {name} anew, for this encoder")
                shipped = list(shipped_rows(name))
                heads[name] = _fit(shipped, [], encoder)[1].head
                told[name] = {"shipped_rows": len(shipped)}
        heads |= found.heads
        told |= found.about
        training.output.mkdir(parents=True, exist_ok=True)
        for file, content in write_heads(RouteHeads(encoder.card.digest, heads, told)).items():
            (training.output / file).write_bytes(content)
        _copy_encoder(found.folder, training.output / "encoder")
    return found.about[head]


@dataclass(frozen=True)
class _Fitted:
    """The heads that were asked for, by name."""

    heads: dict[str, RouteHead]
    about: dict[str, dict[str, Any]]
    folder: Path
    """Where their encoder is."""


def _fitted(
    rows: LabelledTexts, head: str, training: Training, scratch: Path, tell: Callable[[str], None]
) -> _Fitted:
    more = [] if training.alone else _more_rows(rows, head)
    shipped = f" and {len(more):,} shipped ones, which count half (--alone leaves them out)" if more else ""
    about: dict[str, Any] = {"shipped_rows": len(more)} if more else {}
    if training.tune:
        if head not in SHIPPED:
            raise ValueError(f"--tune: the head {head} looks at the encoder as it is; leave --tune out")
        tell(f"tuning an encoder on {len(rows.texts):,} texts{shipped}")
        found = _tuned(rows, more, head, training, scratch, tell)
        found.about[head] |= about
        return found
    folder = _encoder(training, tell)
    encoder = shared_encoder(folder)
    tell(f"reading {len(rows.texts):,} texts with {encoder.card.name}{shipped}")
    views, fitted = _fit([*zip(rows.texts, rows.labels, strict=True)], more, encoder)
    if rows.outcomes:
        about |= rank_held_back(rows, views, fitted)
    return _Fitted({head: fitted.head}, {head: _worth(fitted, rows) | about}, folder)


def _tuned(  # noqa: PLR0913, PLR0917 - what `_fitted` knows
    rows: LabelledTexts,
    more: Sequence[tuple[str, str]],
    head: str,
    training: Training,
    folder: Path,
    tell: Callable[[str], None],
) -> _Fitted:
    """The other heads' shipped rows are learned too: tuned to one thing, an encoder forgets the rest."""
    from pipelines.router_tuning import tune_heads, tuning_set  # noqa: PLC0415 - asks for PyTorch

    others = sorted(SHIPPED.difference([head]))
    sets = [tuning_set([*zip(rows.texts, rows.labels, strict=True)], more)]
    sets += [tuning_set(list(shipped_rows(name)), [], weight=0.5) for name in others]
    name = training.encoder or read_card(_encoder(training, tell)).name
    found = tune_heads(sets, name, training.prefix, folder, tell)
    about: dict[str, dict[str, Any]] = {}
    for which, one, fitted in zip([head, *others], sets, found, strict=True):
        judged = LabelledTexts(*([values[at] for at in one.judged] for values in (one.texts, one.labels)))
        rest = {"rows": len(one.texts), "held_back_rows": len(judged.texts)}
        about[which] = _worth(fitted, judged) | rest
    about[head]["rows"] = len(rows.texts)
    return _Fitted({name: one.head for name, one in zip(about, found, strict=True)}, about, folder)


def _more_rows(rows: LabelledTexts, head: str) -> list[tuple[str, str]]:
    """The shipped rows of a head, where they have the same labels as the user's; none twice."""
    shipped = list(shipped_rows(head)) if head in SHIPPED else []
    if not set(rows.labels) <= {label for _, label in shipped}:
        return []
    known = set(rows.texts)
    return [row for row in shipped if row[0] not in known]


def _fit(
    rows: Sequence[tuple[str, str]], more: Sequence[tuple[str, str]], encoder: TextEncoder
) -> tuple[list[TextView], FittedHead]:
    texts, labels = zip(*rows, *more, strict=True)
    weights = np.repeat([1.0, 0.5], (len(rows), len(more)))
    views = view_texts(texts, encoder.encode_all)
    return views, fit_route_head(RouteRows(views, labels, weights))


def _worth(fitted: FittedHead, rows: LabelledTexts) -> dict[str, Any]:
    labels = fitted.head.labels
    answers = np.array([labels.index(label) for label in rows.labels])
    held_back = fitted.held_back[: len(answers)]
    right = held_back.argmax(axis=1) == answers
    return {
        "rows": len(answers),
        "held_back_accuracy": round(float(right.mean()), 4),
        "held_back_log_loss": round(float(log_losses(held_back, answers).mean()), 4),
        "commonest_label": round(float(np.bincount(answers).max() / len(answers)), 4),
    }


def _encoder(training: Training, tell: Callable[[str], None]) -> Path:
    """The folder of the encoder to look at; exported first, where it has not been."""
    name = training.encoder
    if name is None:
        found = find_encoder(RouterSettings(heads=training.others))
        return asset_path(ENCODER) if found is None else Path(found)
    if Path(name, "encoder.json").exists():
        return Path(name)
    folder = exported_folder(name)
    if not (folder / "encoder.json").exists():
        from transforms.export_encoder import export_encoder  # noqa: PLC0415 - asks for PyTorch

        tell(f"exporting {name} to {folder}")
        export_encoder(name, folder, prefix=training.prefix)
    return folder


def _copy_encoder(folder: Path, to: Path) -> None:
    """Put an encoder that does not ship with Tekizai beside the heads."""
    if folder in {asset_path(ENCODER), to}:
        return
    to.mkdir(exist_ok=True)
    for file in ("encoder.json", "model.onnx", "tokenizer.json"):
        shutil.copyfile(folder / file, to / file)
