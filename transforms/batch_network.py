"""The batch endpoints of an OpenAI-compatible server: files up and down, batches made, seen and cancelled.

As in `llm_network`, what becomes of a call is a value: a JSON object, an error status, or a broken transfer.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from transforms.llm_network import MAX_BODY_BYTES, BrokenTransfer, ErrorStatus, Network

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from router.job import OpenAIModel

ENDPOINT: Final = "/v1/chat/completions"
PAGE = 100
"""Batches in one answer of the listing: the most that OpenAI gives."""
_SLOWEST_BYTES_A_SECOND = 250_000
Object = Mapping[str, Any]


class BatchNetwork:
    """Calls to one server; close it, or let it be collected."""

    def __init__(self, model: OpenAIModel, key: str | None) -> None:
        """Nothing is sent yet."""
        self._network = Network(model, key)
        self._seconds = model.timeout_seconds

    def close(self) -> None:
        """Abort what is under way; closing twice is harmless."""
        self._network.close()

    def upload(self, name: str, content: bytes) -> Object | ErrorStatus | BrokenTransfer:
        """Send a file of requests; the file object."""

        def act(client: AsyncOpenAI) -> Awaitable[bytes]:
            file = (name, content, "application/jsonl")
            return _body(client.files.with_streaming_response.create(file=file, purpose="batch"))

        return self._object(act, self._seconds + len(content) / _SLOWEST_BYTES_A_SECOND)

    def create(self, file_id: str, metadata: Mapping[str, str]) -> Object | ErrorStatus | BrokenTransfer:
        """Make a batch of an uploaded file; the batch object."""

        def act(client: AsyncOpenAI) -> Awaitable[bytes]:
            return _body(
                client.batches.with_streaming_response.create(
                    input_file_id=file_id,
                    endpoint=ENDPOINT,
                    completion_window="24h",
                    metadata=dict(metadata),
                )
            )

        return self._object(act, self._seconds)

    def retrieve(self, batch_id: str) -> Object | ErrorStatus | BrokenTransfer:
        """The batch object as it is now."""
        return self._object(
            lambda client: _body(client.batches.with_streaming_response.retrieve(batch_id)), self._seconds
        )

    def cancel(self, batch_id: str) -> Object | ErrorStatus | BrokenTransfer:
        """Ask for a batch to be ended; the batch object."""
        return self._object(
            lambda client: _body(client.batches.with_streaming_response.cancel(batch_id)), self._seconds
        )

    def page(self, after: str | None) -> Object | ErrorStatus | BrokenTransfer:
        """A page of the account's batches, newest first, from the one after `after` on."""

        def act(client: AsyncOpenAI) -> Awaitable[bytes]:
            if after is None:
                return _body(client.batches.with_streaming_response.list(limit=PAGE))
            return _body(client.batches.with_streaming_response.list(limit=PAGE, after=after))

        return self._object(act, self._seconds)

    def download(self, file_id: str, into: BinaryIO, most_bytes: int) -> int | ErrorStatus | BrokenTransfer:
        """Write a file's content into a stream; how many bytes it had, at most about `most_bytes`."""

        async def act(client: AsyncOpenAI) -> int:
            size = 0
            async with client.files.with_streaming_response.content(file_id) as response:
                async for chunk in response.iter_bytes():
                    into.write(chunk)
                    size += len(chunk)
                    if size > most_bytes:
                        break
            return size

        return self._network.call(act, self._seconds + most_bytes / _SLOWEST_BYTES_A_SECOND)

    def _object(
        self, act: Callable[[AsyncOpenAI], Awaitable[bytes]], seconds: float
    ) -> Object | ErrorStatus | BrokenTransfer:
        answer = self._network.call(act, seconds)
        if not isinstance(answer, bytes):
            return answer
        try:
            found = json.loads(answer)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            return BrokenTransfer("the response is not a JSON object", maybe_billed=True)
        return found


async def _body(opening: AbstractAsyncContextManager[Any]) -> bytes:
    body = bytearray()
    async with opening as response:
        async for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                break
    return bytes(body)
