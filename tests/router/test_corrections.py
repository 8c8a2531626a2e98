"""What people corrected, as the programs export it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.corrections import Correction, collect_corrections, rows_of
from router.review_formats import review_task
from tests.router.correction_examples import annotation, argilla, choice, response, task
from tests.router.review_examples import review_row


def read(*rows: Any) -> dict[str, Correction]:
    """The corrections in rows."""
    return collect_corrections((f"row {number}", row) for number, row in enumerate(rows, start=1))


def refusal(*rows: Any) -> str:
    """What is said of rows that cannot be understood."""
    with pytest.raises(ValueError, match=r".") as caught:
        read(*rows)
    return str(caught.value)


BAD = Correction("mood", ("bad",))


def test_label_studio() -> None:
    """The record's own id and task, and what the person chose, whatever the model had said."""
    assert read(task(annotation(choice("bad"))), task(annotation(choice("good")), name="r2")) == {
        "r1": BAD,
        "r2": Correction("mood", ("good",)),
    }


@pytest.mark.parametrize(
    "row",
    [
        task(),
        task(annotation(choice("bad"), was_cancelled=True)),
        {"data": {"id": "r1", "task": "mood"}, "predictions": [{"result": [choice("bad")]}]},
        argilla(responses={}),
        argilla(responses=None),
        argilla(responses={"mood": [response(None)]}),
        argilla(responses={"mood": [response("bad", status="draft"), response("bad", status="discarded")]}),
        argilla(status="pending"),
        {"id": "r1", "label": None},
        {"id": "r1", "labels": None},
    ],
)
def test_what_nobody_corrected_is_left_out(row: dict[str, Any]) -> None:
    """Untouched, skipped, or only begun."""
    assert read(row) == {}


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-03-04T05:06:07.000000Z", "2026-03-04T05:06:08.000000Z"),
        ("2026-03-04T05:06:07Z", "2026-03-04T05:06:07.5Z"),
        ("2026-03-04T05:06:07Z", "2026-03-04T05:06:07Z"),
        ("", ""),
    ],
)
def test_the_newest_annotation_wins(earlier: str, later: str) -> None:
    """Among equals the last one in the file."""
    given = [annotation(choice("good"), at=earlier), annotation(choice("bad"), at=later)]
    assert read(task(*given)) == {"r1": BAD}
    if earlier != later:
        assert read(task(*reversed(given))) == {"r1": BAD}


def test_a_skipped_annotation_does_not_win() -> None:
    """Although it is newer."""
    skipped = annotation(choice("good"), at="2026-09-09T00:00:00Z", was_cancelled=True)

    assert read(task(annotation(choice("bad")), skipped)) == {"r1": BAD}


def test_several_labels_or_none() -> None:
    """Nothing chosen is an answer; other regions, such as comments, are not looked at."""
    comment = {"type": "textarea", "from_name": "note", "value": {"text": ["hm"]}}

    assert read(task(annotation(choice("bad", "new", "bad"), comment)), task(annotation(), name="r2")) == {
        "r1": Correction("mood", ("bad", "new")),
        "r2": Correction("mood", ()),
    }


def test_the_question_is_the_task() -> None:
    """Of several questions that of the record's task counts; without a task, the only question is it."""
    both = annotation(choice("price", question="topics"), choice("bad"))
    own = {"annotations": [annotation(choice("bad"))], "data": {"id": 7}}

    assert read(task(both), own) == {"r1": BAD, "7": BAD}
    assert refusal(task(annotation(choice("price", question="topics")))) == (
        'row 1: answers ["topics"], and the record\'s task is "mood"; answer the question of that name'
    )


def test_argilla() -> None:
    """The answers of the question that is the record's task."""
    topics = argilla("r2", metadata={"task": "topics"}, responses={"topics": [response(["price", "sound"])]})
    own = argilla("r3", metadata=None)

    assert read(argilla(), topics, own) == {
        "r1": BAD,
        "r2": Correction("topics", ("price", "sound")),
        "r3": BAD,
    }


def test_most_people_are_right() -> None:
    """Where as many said one thing as the other, nobody is."""
    two = [response(["bad", "new"]), response(["good"], "b"), response(["new", "bad"], "c")]

    assert read(argilla(responses={"mood": two})) == {"r1": Correction("mood", ("bad", "new"))}
    assert refusal(argilla(responses={"mood": two[:2]})) == (
        'row 1: as many people said ["bad", "new"] and ["good"]; let them settle it, or take out all answers '
        "but one"
    )


def test_plain_rows() -> None:
    """One label or several, with the task or without, and whatever else the row holds."""
    assert read(
        {"id": "r1", "label": "bad"},
        {"id": 12345678901234567890123, "labels": [], "text": "It hums."},
        {"id": "r3", "labels": ["a", "b"], "task": "topics"},
    ) == {
        "r1": Correction(None, ("bad",)),
        "12345678901234567890123": Correction(None, ()),
        "r3": Correction("topics", ("a", "b")),
    }


def test_a_record_may_be_there_twice() -> None:
    """If both say the same; what else would count is anybody's guess."""
    assert read(task(annotation(choice("bad", "new"))), task(annotation(choice("new", "bad")))) == {
        "r1": Correction("mood", ("bad", "new"))
    }
    assert refusal(
        {"id": "r1", "label": "bad"}, {"id": "r2", "label": "bad"}, {"id": "r1", "label": "良い"}
    ) == ('row 3: record "r1" is ["良い"] here and ["bad"] in row 1; keep one of the two')


FORMS = (
    "give Label Studio's JSON export, what Argilla's records.to_json writes, or rows such as "
    '{"id": "…", "label": "…"} or {"id": "…", "labels": ["…"]}'
)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (["r1", "bad"], f'the row is ["r1", "bad"], not an object; {FORMS}'),
        ({"id": "r1", "gold": "bad"}, f'has the keys ["id", "gold"]; {FORMS}'),
        ({"id": "r1", "label": "a", "labels": ["a"]}, f'has the keys ["id", "label", "labels"]; {FORMS}'),
        ({"label": "bad"}, f'has the keys ["label"]; {FORMS}'),
        (
            {"id": 12, "text": "It hums.", "mood": "bad", "annotation_id": 5, "labels": ["good"]},
            'is of Label Studio\'s export "JSON-MIN", which lacks record ids; export as "JSON"',
        ),
        ({"id": "r1", "label": 1}, '"label" is 1; give a label as text, or a list of them'),
        ({"id": "r1", "labels": [["a"]]}, '"labels" is [["a"]]; give a label as text, or a list of them'),
        ({"id": 1.5, "label": "a"}, 'the row has the id 1.5; give "id" as it stands in the review file'),
        ({"id": None, "label": "a"}, 'the row has no id; give "id" as it stands in the review file'),
        (
            {"id": "r1", "label": "a", "task": 3},
            '"task" is 3; name a task of the job, or leave it out',
        ),
        (
            {"data": {"text": "It hums."}, "annotations": [annotation(choice("bad"))]},
            '"data" has no id; give "id" as it stands in the review file',
        ),
        (
            {"data": {"id": "r1"}, "annotations": [12]},
            f'"annotations" is [12], not a list of objects; {FORMS}',
        ),
        (
            {"data": {"id": "r1"}, "annotations": [{"result": None}]},
            f'"result" is null, not a list of objects; {FORMS}',
        ),
        (
            task(annotation({"type": "choices", "from_name": "mood", "value": {"choices": [["a", "b"]]}})),
            '"choices" is [["a", "b"]]; give a label as text, or a list of them',
        ),
        (argilla(responses=["bad"]), f'"responses" is ["bad"], not an object; {FORMS}'),
        (
            argilla(responses={"mood": "bad"}),
            f'"responses" to "mood" is "bad", not a list of objects; {FORMS}',
        ),
        (
            argilla(responses={"mood": [response(4)]}),
            '"responses" to "mood" is 4; give a label as text, or a list of them',
        ),
        (
            {"id": "r1", "label": {"\x1b[2J\u202e": "x" * 100}},
            '"label" is {"\\u001b[2J\\u202e": "' + "x" * 39 + "…; give a label as text, or a list of them",
        ),
    ],
)
def test_what_cannot_be_understood_is_named(row: Any, said: str) -> None:
    """With its place, what is there, and what to do."""
    assert refusal(row) == f"row 1: {said}"


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"", []),
        (b"\n \n", []),
        (b"[]\n", []),
        (b'[{"a": 1},\n {"a": 2}]', [("f, row 1", {"a": 1}), ("f, row 2", {"a": 2})]),
        (b'{\n "a": 1\n}', [("f, row 1", {"a": 1})]),
        (b'{"a": 1}\r\n\n{"a": 2}\r\n', [("f, line 1", {"a": 1}), ("f, line 3", {"a": 2})]),
        (
            '\ufeff{"a": "x\u2028y"}\n{"a": 2}'.encode(),
            [("f, line 1", {"a": "x\u2028y"}), ("f, line 2", {"a": 2})],
        ),
    ],
)
def test_lists_and_lines(content: bytes, rows: list[tuple[str, Any]]) -> None:
    """Each row has its place in the file."""
    assert list(rows_of(content, "f")) == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"a": 1},', "f: is not JSON (Expecting value: line 1 column 11 (char 10)); export it again"),
        (
            b'{"a": 1}\nid,label\n',
            f'f, line 2: is not JSON (Expecting value: line 1 column 1 (char 0)): "id,label"; {FORMS}',
        ),
        (b'{"a": "\xff"}', "f: is not UTF-8 at byte 7; save it as UTF-8"),
    ],
)
def test_what_is_no_json(content: bytes, said: str) -> None:
    """With the place as well as it is known."""
    with pytest.raises(ValueError, match=r".") as caught:
        list(rows_of(content, "f"))

    assert str(caught.value) == said


def test_deep_nesting_is_no_crash() -> None:
    """It is as little JSON of a correction as anything else."""
    with pytest.raises(ValueError, match=r"f, line 2: is not JSON"):
        list(rows_of(b'{"a": 1}\n' + b'{"a":' * 100_000, "f"))


def test_the_review_file_itself_corrects_nothing() -> None:
    """Its rows hold what models said."""
    row = json.loads(json.dumps(review_task(review_row(), several=False)))

    assert read(row) == {}
