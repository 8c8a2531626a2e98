"""Labels that people gave, read from what the programs export in which they gave them.

A row is taken as Label Studio's, as Argilla's or as a plain one by its keys; one that is none of them is an
error, so that no correction is lost unseen.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

_SHOWN_CHARACTERS = 60
_FORMS = (
    "give Label Studio's JSON export, what Argilla's records.to_json writes, or rows such as "
    '{"id": "…", "label": "…"} or {"id": "…", "labels": ["…"]}'
)


@dataclass(frozen=True, slots=True)
class Correction:
    """The labels that a person gave a record."""

    task: str | None
    """None where the file does not name it: then it is the record's own."""
    labels: tuple[str, ...]
    """Empty where the person said that none applies."""


def collect_corrections(rows: Iterable[tuple[str, Any]]) -> dict[str, Correction]:
    """The corrections by record id, from rows with their places; rows that nobody corrected are left out.

    Raises:
        ValueError: a row is of no known form, or a record has two corrections that differ; with the place,
            what is there, and what to do.
    """
    found: dict[str, Correction] = {}
    places: dict[str, str] = {}
    for place, row in rows:
        try:
            corrected = _read(row)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error
        if corrected is None:
            continue
        name, correction = corrected
        if not _agree(found.setdefault(name, correction), correction):
            raise ValueError(
                f"{place}: record {_shown(name)} is {_shown(correction.labels)} here and "
                f"{_shown(found[name].labels)} in {places[name]}; keep one of the two"
            )
        places.setdefault(name, place)
    return found


def rows_of(content: bytes, name: str) -> Iterator[tuple[str, Any]]:
    """The rows of a JSON list or of JSON Lines, each with its place.

    Args:
        content: The whole file.
        name: What to call the file in messages.

    Raises:
        ValueError: it is neither.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith("["):
            raise ValueError(f"{name}: is not JSON ({error}); export it again") from error
        yield from _lines(text, name)
        return
    rows = whole if isinstance(whole, list) else [whole]
    yield from ((f"{name}, row {number}", row) for number, row in enumerate(rows, start=1))


def _lines(text: str, name: str) -> Iterator[tuple[str, Any]]:
    # Not by `splitlines`: a text may hold other line ends, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{name}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}: is not JSON ({error}): {_shown(line)}; {_FORMS}") from error
        yield place, row


def _read(row: Any) -> tuple[str, Correction] | None:  # noqa: ANN401 - any JSON value
    row = _object(row, "the row")
    if "annotation_id" in row:
        raise ValueError('is of Label Studio\'s export "JSON-MIN", which lacks record ids; export as "JSON"')
    if isinstance(row.get("data"), dict):
        return _label_studio(row)
    if "responses" in row:
        return _argilla(row)
    if "id" in row and ("label" in row) != ("labels" in row):
        return _plain(row)
    raise ValueError(f"has the keys {_shown(list(row))}; {_FORMS}")


def _label_studio(row: Mapping[str, Any]) -> tuple[str, Correction] | None:
    annotations = _objects(row.get("annotations") or [], '"annotations"')
    counted = [one for one in annotations if not one.get("was_cancelled")]
    if not counted:
        return None
    newest = max(reversed(counted), key=_time)
    chosen: dict[str, tuple[str, ...]] = {}
    for one in _objects(newest.get("result"), '"result"'):
        if one.get("type") == "choices":
            value, question = one.get("value"), str(one.get("from_name"))
            labels = _labels(value.get("choices") if isinstance(value, dict) else value, '"choices"')
            chosen[question] = chosen.get(question, ()) + labels
    task = _task(row["data"].get("task"), chosen)
    return _id(row["data"], '"data"'), Correction(task, () if task is None else chosen.get(task, ()))


def _time(annotation: Mapping[str, Any]) -> str:
    # ISO 8601 in UTC. Without the Z, a time with fractions of a second comes after one without.
    return str(annotation.get("updated_at") or annotation.get("created_at") or "").removesuffix("Z")


def _argilla(row: Mapping[str, Any]) -> tuple[str, Correction] | None:
    responses = _object(row["responses"] or {}, '"responses"')
    metadata = _object(row.get("metadata") or {}, '"metadata"')
    given = {name: found for name, many in responses.items() if (found := _submitted(name, many))}
    # The export does not tell drafts and discarded responses; a record without a submitted one is pending.
    if not given or row.get("status") == "pending":
        return None
    task = _task(metadata.get("task"), given)
    return _id(row, "the record"), Correction(task, _majority(given[str(task)]))


def _submitted(name: str, responses: Any) -> list[tuple[str, ...]]:  # noqa: ANN401 - any JSON value
    """What people answered to a question."""
    where = f'"responses" to {_shown(name)}'
    counted = [one for one in _objects(responses, where) if one.get("status") in (None, "submitted")]
    return [_labels(one["value"], where) for one in counted if one.get("value") is not None]


def _majority(given: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What most people said."""
    ranked = Counter(frozenset(labels) for labels in given).most_common(2)
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        said = " and ".join(_shown(labels) for labels in dict.fromkeys(given))
        raise ValueError(f"as many people said {said}; let them settle it, or take out all answers but one")
    return next(labels for labels in given if set(labels) == ranked[0][0])


def _plain(row: Mapping[str, Any]) -> tuple[str, Correction] | None:
    key = "label" if "label" in row else "labels"
    if row[key] is None:
        return None
    return _id(row, "the row"), Correction(_task(row.get("task"), ()), _labels(row[key], f'"{key}"'))


def _task(named: Any, answered: Collection[str]) -> str | None:  # noqa: ANN401 - any JSON value
    """The task that was answered, which is the question's name: the one named, or else the only one."""
    if named is not None and not isinstance(named, str):
        raise ValueError(f'"task" is {_shown(named)}; name a task of the job, or leave it out')
    if named is None and len(answered) == 1:
        return next(iter(answered))
    if answered and named not in answered:
        raise ValueError(
            f"answers {_shown(list(answered))}, and the record's task is {_shown(named)}; answer the "
            "question of that name"
        )
    return named


def _labels(value: Any, where: str) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise ValueError(f"{where} is {_shown(value)}; give a label as text, or a list of them")
    return tuple(dict.fromkeys(labels))


def _object(value: Any, where: str) -> dict[str, Any]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        raise ValueError(f"{where} is {_shown(value)}, not an object; {_FORMS}")  # noqa: TRY004 - of the file
    return value


def _objects(value: Any, where: str) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise ValueError(f"{where} is {_shown(value)}, not a list of objects; {_FORMS}")
    return value


def _id(holder: Mapping[str, Any], where: str) -> str:
    value = holder.get("id")
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    what = "has no id" if value is None else f"has the id {_shown(value)}"
    raise ValueError(f'{where} {what}; give "id" as it stands in the review file')


def _agree(one: Correction, other: Correction) -> bool:
    return one.task == other.task and set(one.labels) == set(other.labels)


def _shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A value for a message: as JSON, cut, and without what would steer a terminal."""
    text = json.dumps(value, ensure_ascii=False)[: _SHOWN_CHARACTERS + 1]
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return printable if len(printable) <= _SHOWN_CHARACTERS else printable[:_SHOWN_CHARACTERS] + "…"
