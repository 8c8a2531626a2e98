"""Questions in files: in order, within the limits, none lost."""

from __future__ import annotations

from router.job import BatchSettings, OpenAIModel
from tests.transforms.batch_examples import TASK, Clock
from transforms.batch_queue import Queue, cut
from transforms.batch_results import Question


def question(number: int) -> Question:
    """A question with a number for its id."""
    return Question(str(number), TASK, bytes([number]), "text")


def line(_: Question) -> bytes:
    """Ten bytes for each."""
    return b"123456789\n"


def queue(**settings: object) -> tuple[Queue, Clock]:
    """A queue of nine questions, and its clock."""
    clock = Clock()
    batch = BatchSettings.model_validate(settings)
    found = Queue(OpenAIModel(engine="openai", model="m", batch=batch), clock)
    found.put(question(number) for number in range(9))
    return found, clock


def sizes(found: Queue) -> list[int]:
    """How many questions each file takes."""
    return [len(file.questions) for file in found.files(line)]


def test_files_keep_to_both_limits() -> None:
    """The last byte still fits; a line that is too long for any file stands alone."""
    questions = [question(number) for number in range(7)]

    assert [len(file.questions) for file in cut(questions, line, 3, 1000)] == [3, 3, 1]
    assert [len(file.questions) for file in cut(questions, line, 100, 40)] == [4, 3]
    assert [len(file.questions) for file in cut(questions, line, 100, 39)] == [3, 3, 1]
    assert [len(file.questions) for file in cut(questions[:2], line, 100, 5)] == [1, 1]
    assert list(cut([], line, 3, 10)) == []
    [file] = cut(questions[:2], line, 3, 100)
    assert file.content == b"123456789\n123456789\n"


def test_all_files_are_taken_at_once() -> None:
    """Each question once; then nothing waits."""
    found, _ = queue(max_requests=4)

    assert sizes(found) == [4, 4, 1]
    assert found.waiting == 0


def test_a_crowded_provider_gets_one_file_at_a_time() -> None:
    """Smaller ones, where one alone was too much; and not for ever."""
    found, clock = queue(max_requests=4, max_wait_hours=1)

    assert found.crowded(4, alone=False)
    assert sizes(found) == [4]
    assert found.waiting == 5
    assert found.crowded(4, alone=True)
    assert sizes(found) == [2]
    assert found.crowded(2, alone=True)
    assert found.crowded(1, alone=True)
    assert sizes(found) == [1]
    clock.now += 3600
    assert not found.crowded(1, alone=True)
    assert len(found.empty()) == 2
