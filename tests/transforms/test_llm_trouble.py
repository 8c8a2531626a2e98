"""What is done about a request without an answer, by what came instead."""

from __future__ import annotations

import pytest

from router.job import OpenAIModel
from router.records import Failure
from transforms.llm_network import BrokenTransfer, ErrorStatus
from transforms.llm_trouble import Trouble, trouble_of

URL = "http://127.0.0.1:1/v1"
MODEL = OpenAIModel(engine="openai", model="fake", base_url=URL)
UNAVAILABLE, UNUSABLE = Failure.UNAVAILABLE, Failure.UNUSABLE


def trouble(status: int, said: str = "no", code: str | None = None, **headers: str) -> Trouble:
    """What becomes of an error status at second 0 of the epoch."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return trouble_of(ErrorStatus(status, said, code, None, names), MODEL, 0.0, str)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410])
def test_a_wrong_key_model_or_url_stops_the_job(status: int) -> None:
    """No record gets a failure, because asking about another would end the same way."""
    found = trouble(status)

    assert (found.failure, found.retry, found.alive) == (None, False, False)
    assert found.detail.startswith(f"HTTP {status} from {URL}: no. ")


@pytest.mark.parametrize(
    ("status", "said", "code", "failure", "retry", "alive"),
    [
        (400, "no", None, UNUSABLE, False, True),
        (403, "content policy", None, UNUSABLE, False, True),
        (422, "no", None, UNUSABLE, False, True),
        (499, "no", None, UNUSABLE, False, True),
        (402, "no", None, UNAVAILABLE, False, False),
        (429, "no", "insufficient_quota", UNAVAILABLE, False, False),
        (408, "no", None, UNAVAILABLE, True, False),
        (429, "no", None, UNAVAILABLE, True, False),
        (500, "no", None, UNAVAILABLE, True, False),
        (503, "no", None, UNAVAILABLE, True, False),
    ],
)
def test_other_errors_cost_a_record_at_most(  # noqa: PLR0917 - one row of the table
    status: int, said: str, code: str | None, failure: Failure, retry: bool, alive: bool
) -> None:
    """A refused question is that record's own; without money no retry helps; the rest may pass."""
    found = trouble(status, said, code)

    assert (found.failure, found.retry, found.alive, found.wait) == (failure, retry, alive, 0.0)


@pytest.mark.parametrize(
    ("status", "wish", "wait", "alive"),
    [(429, "7", 7.0, True), (429, "300", 300.0, True), (429, "301", 301.0, False), (503, "7", 7.0, False)],
)
def test_a_busy_endpoint_is_not_a_dead_one(status: int, wish: str, wait: float, alive: bool) -> None:
    """Where it is in order but asks for a wait that is short enough to be waited for."""
    found = trouble(status, retry_after=wish)

    assert (found.wait, found.alive, found.retry) == (wait, alive, True)


@pytest.mark.parametrize("billed", [True, False])
def test_a_broken_transfer_is_tried_again(billed: bool) -> None:
    """Whether or not the request may have arrived."""
    found = trouble_of(BrokenTransfer("ConnectError: refused", billed), MODEL, 0.0, str)

    assert found == Trouble(f"{URL}: ConnectError: refused", UNAVAILABLE, retry=True)


def test_what_is_said_is_cleaned_before_it_is_cut() -> None:
    """A key that stands across the cut would not be recognised any more."""
    said = "x" * 498 + "KEY" + "y" * 100

    found = trouble_of(
        ErrorStatus(400, said, None, None, {}), MODEL, 0.0, lambda text: text.replace("KEY", "*")
    )
    broken = trouble_of(BrokenTransfer(said, maybe_billed=False), MODEL, 0.0, str)

    assert found.detail == f"the endpoint refused the question: HTTP 400 from {URL}: {'x' * 498}*y"
    assert broken.detail == f"{URL}: {'x' * 498}KE"
