"""Submits batches, finds them again, and fetches their results; tries again what may pass.

Making a batch costs money, so it is never blindly repeated: after a call that may have arrived, the account's
batches are searched for our own key first.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import tempfile
import time
from typing import TYPE_CHECKING, BinaryIO

from router.records import Failure
from transforms import llm_wire
from transforms.batch_network import BatchNetwork
from transforms.batch_wire import OUR_KEY, BatchState, ResultLine, read_result, read_state
from transforms.llm_access import LlmStop, api_key, endpoint, preflight
from transforms.llm_network import BrokenTransfer, ErrorStatus
from transforms.llm_reading import without_key
from transforms.llm_trouble import MAX_WAIT_SECONDS, Trouble, trouble_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from router.batch_notes import Submission
    from router.job import OpenAIModel
    from transforms.batch_network import Object

_MISSING = (404, 405, 410, 501)
_TOO_LARGE = 413
_CLOCKS_APART = 3600.0
"""How far the provider's clock may be behind ours."""
_LOOKS = 3
_LOOK_SECONDS = 2.0
"""A batch that was just made may take a moment to be listed."""
_RESULT_BYTES = 64 * 1024
"""No result with a list of labels is that long."""


class BatchUnavailableError(RuntimeError):
    """The endpoint did not do what was asked, for now; the message says why."""


class BatchGoneError(RuntimeError):
    """The endpoint does not know a batch or a file any more."""


class BatchClient:
    """A client of one endpoint's batches. Close it, or let it be collected."""

    def __init__(
        self,
        model: OpenAIModel,
        *,
        sleep: Callable[[float], None] = time.sleep,
        wall_clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Open the client; nothing is sent yet. Raises `LlmStop` where key or URL are missing or wrong."""
        preflight(model, environ)
        self._model = model
        self._sleep, self._wall_clock, self._jitter = sleep, wall_clock, jitter
        self._key = api_key(model, environ)
        self._network = BatchNetwork(model, self._key)

    def close(self) -> None:
        """Abort what is under way; closing twice is harmless."""
        self._network.close()

    def clean(self, text: str) -> str:
        """Take out of foreign text what must not be kept."""
        return without_key(text, self._key)

    def upload(self, key: str, content: bytes) -> str:
        """Send a file of requests; returns its id.

        Raises:
            LlmStop: The endpoint has no batches, refuses the key, or the file is too large for it.
            BatchUnavailableError: It could not be reached, or kept failing.

        """
        found = self._tried(lambda: self._network.upload(f"{OUR_KEY}-{key}.jsonl", content), "POST /files")
        name = found.get("id")
        if not isinstance(name, str) or not name:
            raise LlmStop(f"{self._where('POST /files')} answered without a file's id. {_REMOVE}")
        return name

    def create(self, submission: Submission) -> BatchState:
        """Make the batch of a file that was uploaded, or find it where it was made already.

        Raises what `upload` raises.
        """
        file = submission.file or ""
        tries = 0
        while True:
            answer = self._network.create(file, {OUR_KEY: submission.key})
            if not isinstance(answer, (ErrorStatus, BrokenTransfer)):
                return self._state(answer, "POST /batches")
            self._pause(answer, "POST /batches", tries)
            tries += 1
            # What came instead of an answer may hide a batch that was made.
            made = self.find(submission)
            if made is not None:
                return made

    def find(self, submission: Submission) -> BatchState | None:
        """Find the batch of a submission among the account's; None where it was never made.

        Raises what `upload` raises.
        """
        for look in range(_LOOKS):
            if look:
                self._sleep(_LOOK_SECONDS)
            for state in self._listed(submission.at - _CLOCKS_APART):
                same_file = submission.file is not None and state.input_file == submission.file
                if state.key == submission.key or same_file:
                    return state
        return None

    def _listed(self, since: float) -> Iterator[BatchState]:
        """The account's batches, newest first, as far back as a time."""
        after: str | None = None
        while True:
            place = after
            page = self._tried(lambda place=place: self._network.page(place), "GET /batches")  # type: ignore[misc]
            data = page.get("data")
            listed = data if isinstance(data, list) else []
            states = [read_state(one) for one in listed if isinstance(one, dict)]
            known = [state for state in states if state is not None]
            yield from known
            if not known or not page.get("has_more") or 0 < known[-1].created_at < since:
                return
            after = known[-1].id

    def state(self, batch_id: str) -> BatchState:
        """Look at a batch.

        Raises:
            BatchGoneError: The endpoint does not know it.
            LlmStop: The endpoint refuses the key.
            BatchUnavailableError: It could not be reached, or kept failing.

        """
        name = f"GET /batches/{batch_id}"
        return self._state(self._tried(lambda: self._network.retrieve(batch_id), name, known=True), name)

    def cancel(self, batch_id: str) -> None:
        """Ask for a batch to be ended; what was finished is kept and paid. Raises what `state` raises."""
        name = f"POST /batches/{batch_id}/cancel"
        self._tried(lambda: self._network.cancel(batch_id), name, known=True)

    def results(self, state: BatchState, requests: int) -> Iterator[ResultLine]:
        """The result lines of a batch of so many requests, in whatever order.

        A line that cannot be read is passed over: its question counts as not answered. Raises what `state`
        raises.
        """
        with contextlib.ExitStack() as stack:
            files = []
            for name in (state.output_file, state.error_file):
                if name is not None:
                    stream = stack.enter_context(tempfile.TemporaryFile())
                    self._download(name, stream, requests)
                    files.append(stream)
            # All of them are here before the first line is acted on.
            for line in itertools.chain.from_iterable(files):
                result = read_result(line)
                if result is not None:
                    yield result

    def _download(self, file: str, stream: BinaryIO, requests: int) -> None:
        def act() -> Object | ErrorStatus | BrokenTransfer:
            stream.seek(0)
            stream.truncate()
            size = self._network.download(file, stream, _RESULT_BYTES * (requests + 1))
            return {} if isinstance(size, int) else size

        self._tried(act, f"GET /files/{file}/content", known=True)
        stream.seek(0)

    def _state(self, data: Object, name: str) -> BatchState:
        state = read_state(data)
        if state is None:
            raise BatchUnavailableError(f"{self._where(name)} answered with something that is no batch")
        return state

    def _tried(
        self,
        act: Callable[[], Object | ErrorStatus | BrokenTransfer],
        name: str,
        *,
        known: bool = False,
    ) -> Object:
        """Do something that may be repeated until it works; `known`: about a thing that was there before."""
        tries = 0
        while True:
            answer = act()
            if not isinstance(answer, (ErrorStatus, BrokenTransfer)):
                return answer
            if known and isinstance(answer, ErrorStatus) and answer.status in _MISSING:
                said = self.clean(answer.said)
                raise BatchGoneError(f"HTTP {answer.status} from {self._where(name)}: {said}")
            self._pause(answer, name, tries)
            tries += 1

    def _pause(self, answer: ErrorStatus | BrokenTransfer, name: str, tries: int) -> None:
        """Wait before the next try. Raises `LlmStop` or `BatchUnavailableError` where there is none."""
        trouble = self._trouble(answer, name)
        if trouble.failure is None:
            raise LlmStop(trouble.detail)
        delay = max(llm_wire.backoff(tries, self._jitter()), trouble.wait)
        if not trouble.retry or tries >= self._model.max_retries or delay > MAX_WAIT_SECONDS:
            raise BatchUnavailableError(f"{trouble.detail} ({name}, requests: {tries + 1})")
        self._sleep(delay)

    def _trouble(self, answer: ErrorStatus | BrokenTransfer, name: str) -> Trouble:
        trouble = trouble_of(answer, self._model, self._wall_clock(), self.clean)
        if isinstance(answer, BrokenTransfer):
            return trouble
        said = f"HTTP {answer.status} from {self._where(name)}: {self.clean(answer.said)}"
        if answer.status in _MISSING:
            return Trouble(f"{said}. This server has no batch endpoint. {_REMOVE}")
        if answer.status == _TOO_LARGE:
            return Trouble(f"{said}. The file is too large for it: lower batch.max_megabytes")
        # A refused question concerns one record; a refused file or batch concerns them all.
        return Trouble(f"{said}. {_REMOVE}") if trouble.failure is Failure.UNUSABLE else trouble

    def _where(self, name: str) -> str:
        method, _, path = name.partition(" ")
        return f"{method} {endpoint(self._model).rstrip('/')}{path}"


_REMOVE = "Remove `batch` from the model in the job file: then its records are asked about one by one"
