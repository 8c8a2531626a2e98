"""The student in the pipeline: it answers ahead of the small models what it is sure enough of."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import apache_beam as beam
from apache_beam.metrics import Metrics

from router.assets import asset_path
from router.names import STUDENT
from router.prices import local_cost
from router.records import Answer, LabelScores, Usage, Work, as_kept
from router.student import Student, task_probabilities
from router.text_view import TextView, view_texts
from transforms.text_encoder import ENCODER, read_card, shared_encoder

if TYPE_CHECKING:
    from decimal import Decimal

    from router.route_head import RouteHead


def encoder_digest() -> str:
    """Of the encoder that the student looks through."""
    return read_card(asset_path(ENCODER)).digest


def look_at(texts: Sequence[str]) -> list[TextView]:
    """What the student sees of texts."""
    encoder = shared_encoder(asset_path(ENCODER))
    # Vectors differ in their last digits by what was read together; as they are kept, they do not.
    return view_texts(texts, lambda some: as_kept(encoder.encode_all(some)))


class StudentSession:
    """Students ready to answer."""

    def __init__(self, students: Sequence[Student], names: Mapping[str, Sequence[str]]) -> None:
        """`names` are the labels of each task, in the task's order."""
        self._students = {one.task: one for one in students}
        self._heads: dict[str, RouteHead] = {one.task: one.head for one in students}
        self._names = names

    def answer(self, work: Work) -> tuple[Answer, bool] | None:
        """What the student says of a record, and whether that counts; None where it was not taught."""
        student = self._students.get(work.record.task)
        if student is None:
            return None
        started = time.perf_counter()
        views, names = look_at([work.record.text]), self._names[student.task]
        [seen] = task_probabilities(self._heads[student.task], views, names)
        scores = LabelScores(seen)
        _, confidence = student.reading.read(scores)
        usage = Usage(seconds=time.perf_counter() - started)
        return Answer(STUDENT, usage, scores=scores), confidence >= student.cut


class AskStudent(beam.DoFn):
    """Append the student's answer to each work that is to ask a small model, where it is sure enough.

    Of the others it leaves what it took on the account (`Work.passed`), and the small model is asked.
    """

    def __init__(
        self,
        students: Sequence[Student],
        names: Mapping[str, Sequence[str]],
        usd_per_hour: Mapping[str, Decimal],
    ) -> None:
        """`usd_per_hour` is what the machine costs on which each small model would answer."""
        self._students = tuple(students)
        self._names = {task: tuple(labels) for task, labels in names.items()}
        self._usd_per_hour = dict(usd_per_hour)

    def __getstate__(self) -> dict[str, object]:
        """Everything but the session, which each process opens for itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_session"}

    @cached_property
    def _session(self) -> StudentSession:
        return StudentSession(self._students, self._names)

    def process(self, work: Work) -> Iterator[Work]:
        """Look at the text of the record."""
        usd_per_hour = self._usd_per_hour.get(work.ask or "")
        found = None if usd_per_hour is None else self._session.answer(work)
        if usd_per_hour is None or found is None:
            yield work
            return
        answer, counts = found
        usage = dataclasses.replace(answer.usage, usd=local_cost(answer.usage.seconds, usd_per_hour)).there(
            time.time()
        )
        answer = dataclasses.replace(answer, usage=usage)
        Metrics.counter(f"tekizai.{STUDENT}", "student_taken" if counts else "student_passed").inc()
        if counts:
            yield dataclasses.replace(work, ask=None, answers=(*work.answers, answer))
        else:
            yield dataclasses.replace(work, passed=(*work.passed, dataclasses.replace(answer, scores=None)))
