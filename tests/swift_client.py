"""An LLM client for tests that notes its waits instead of waiting."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from router.job import Label, OpenAIModel, Task
from router.prices import TokenPrice
from transforms.llm_client import LlmClient

if TYPE_CHECKING:
    from tests.fake_llm_server import FakeLlmServer

TASK = Task(name="t", instruction="Classify.", labels=(Label(name="negative"), Label(name="positive")))
PRICE = TokenPrice(Decimal("0.000001"), Decimal("0.0000005"), Decimal("0.00001"), "a test")
ONE_CALL = Decimal("0.00013")
"""60 fresh tokens at 1e-6, 40 cached at 5e-7 and 5 of the answer at 1e-5: what the server bills for one."""
KEY = "sk-very-secret-0123456789"
NOW = 1_700_000_000.0


class SwiftClient(LlmClient):
    """A client that waits for nothing, draws the whole back-off each time and lives at `NOW`."""

    def __init__(
        self, server: FakeLlmServer | str, environ: dict[str, str] | None = None, **fields: Any
    ) -> None:
        """Point it at a server or URL; `fields` go into the model."""
        base_url = server if isinstance(server, str) else server.base_url
        model = OpenAIModel(**{"engine": "openai", "model": "fake", "base_url": base_url, **fields})
        self.waits: list[float] = []
        super().__init__(
            model,
            PRICE,
            sleep=self.waits.append,
            jitter=lambda: 1.0,
            wall_clock=lambda: NOW,
            environ=environ or {},
        )
