"""What to do about a request that got no answer: try it again, give its record up, or stop the job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.records import Failure
from transforms import llm_wire
from transforms.llm_access import endpoint, stop_message
from transforms.llm_network import BrokenTransfer, ErrorStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from router.job import OpenAIModel

MAX_WAIT_SECONDS = 300.0
"""An endpoint that asks for a longer wait counts as not available: a later run asks again."""
MAX_DETAIL_CHARACTERS = 500
_PAYMENT_REQUIRED = 402
_NO_SUCH_ACCESS = (401, 403, 404, 405, 410)
_TOO_MANY_REQUESTS = 429
_PASSING = (408, _TOO_MANY_REQUESTS)
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request without an answer, and what to do about it."""

    detail: str
    failure: Failure | None = None
    """What the record gets where the request is not tried again; None: the job must stop."""
    retry: bool = False
    wait: float = 0.0
    alive: bool = False
    """Whether the endpoint is in order all the same, so that this must not count towards its death."""


def trouble_of(
    answer: ErrorStatus | BrokenTransfer, model: OpenAIModel, now: float, clean: Callable[[str], str]
) -> Trouble:
    """Tell what to do about what came instead of an answer.

    Args:
        answer: What came.
        model: Whose endpoint it came from.
        now: Seconds since the epoch, which the endpoint's wish for a wait may refer to.
        clean: Takes out of foreign text what must not be kept. It gets the whole text, because the key may
            stand where the detail is cut off.

    """
    where = endpoint(model)
    if isinstance(answer, BrokenTransfer):
        said = clean(answer.detail)[:MAX_DETAIL_CHARACTERS]
        return Trouble(f"{where}: {said}", Failure.UNAVAILABLE, retry=True)
    status, said = answer.status, clean(answer.said)
    detail = f"HTTP {status} from {where}: {said[:MAX_DETAIL_CHARACTERS]}"
    if status in _NO_SUCH_ACCESS and not llm_wire.is_moderation(said):
        return Trouble(stop_message(model, status, detail))
    if status == _PAYMENT_REQUIRED or answer.code == "insufficient_quota":
        return Trouble(f"the account has no money or quota left: {detail}", Failure.UNAVAILABLE)
    if status in _PASSING or status >= _SERVER_ERROR:
        wait = llm_wire.retry_after(answer.headers, now)
        # It is busy and says until when: the waits it asks for slow the job down enough.
        busy = status == _TOO_MANY_REQUESTS and wait is not None and wait <= MAX_WAIT_SECONDS
        return Trouble(detail, Failure.UNAVAILABLE, retry=True, wait=wait or 0.0, alive=busy)
    return Trouble(f"the endpoint refused the question: {detail}", Failure.UNUSABLE, alive=True)
