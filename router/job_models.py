"""Who is asked: the `models` of a job file."""

from __future__ import annotations

import operator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from router.job_adapters import Adapter
from router.job_base import LATER, Count, CountOrZero, EnvironmentName, Name, Seconds, Sha256, Strict, Usd
from router.job_checks import is_number, switch_or_settings, word_or_number
from router.number_formats import NumberFormat


class Prompt(Strict):
    """How a local model is asked; what is left out comes from the catalogue (configs/models.yaml)."""

    form: Literal["plain", "chat"] | None = None
    """Plain text to be continued, or the turns of the model's chat template."""
    opening: str | None = None
    """Text that opens the model's answer, before the label; `{task}` stands for the task's name."""


class LlamaCppModel(Strict):
    """A GGUF model that runs inside the worker."""

    engine: Literal["llama_cpp"]
    source: Name
    """The model: a path or fsspec URL of a GGUF file, hf://REPO/FILE.gguf, or pypi://PACKAGE."""
    sha256: Sha256 | None = None
    """The file's SHA-256 as 64 hexadecimal digits; it is checked before the model is used."""
    format: NumberFormat | None = None
    """The number format to use the model in; it is made once, in the model cache. null: as the file is."""
    threads: Count | None = None
    """CPU threads of one worker process."""
    usd_per_hour: Usd | None = None
    """What an hour of the worker costs, in US dollars."""
    context: Annotated[Count, Field(ge=256)] | None = None
    """Tokens that prompt and text may take together."""
    pack: Annotated[
        Annotated[Literal["auto", "off"], Tag("word")] | Annotated[Count, Field(ge=2, le=64), Tag("number")],
        Discriminator(word_or_number),
    ] = "auto"
    """The most records that are evaluated together, or off; auto takes it from the catalogue."""
    prompt: Prompt = Prompt()
    # Not written where there is none: digests of jobs without adapters stay what they were.
    adapters: Annotated[tuple[Adapter, ...], Field(exclude_if=operator.not_)] = ()
    """Adapters (LoRA) for this model's weights, each for some records; the first one that matches is used."""


class Price(Strict):
    """What a hosted model costs."""

    input_usd_per_million_tokens: Usd
    """US dollars for a million prompt tokens."""
    output_usd_per_million_tokens: Usd
    """US dollars for a million answer tokens."""
    cached_input_usd_per_million_tokens: Usd | None = None
    """US dollars for a million prompt tokens that the endpoint had in its cache."""
    batch_discount: Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False), BeforeValidator(is_number)] = (
        Decimal("0.5")
    )
    """With `batch`: the fraction of these prices that the provider takes off for batches, such as 0.5."""


class BatchSettings(Strict):
    """How large the files of the provider's batch endpoint may be, and how long to wait for their answers."""

    max_requests: Annotated[Count, Field(le=50_000)] = 50_000
    """Requests in one file; OpenAI takes up to 50000."""
    max_megabytes: Annotated[Seconds, Field(le=200.0)] = 200.0
    """Megabytes (1,000,000 bytes) of one file; OpenAI takes up to 200."""
    poll_seconds: Seconds = 15.0
    """How long to wait before the first look at a batch; later looks are up to five minutes apart."""
    max_wait_hours: Seconds = 26.0
    """How long to wait for one batch before it is cancelled; OpenAI's own window is 24 hours."""


class OpenAIModel(Strict):
    """A model behind an OpenAI-compatible endpoint."""

    engine: Literal["openai"]
    model: Name
    """The model's name at the endpoint."""
    base_url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """The endpoint's http:// or https:// address, such as http://127.0.0.1:8081/v1; null is OpenAI's own."""
    api_key_env: EnvironmentName | None = None
    """The NAME of the environment variable that holds the key, as in OPENAI_API_KEY; never the key itself."""
    price: Price | None = None
    concurrency: Count = 8
    """Requests that one worker process keeps open."""
    timeout_seconds: Seconds = 60.0
    """How long to wait for one answer."""
    max_output_tokens: Count = 64
    """The longest answer that is paid for."""
    context: Count | None = LATER
    """Tokens that a prompt may have: retrieved examples and passages that have no room are left out, the
    farthest first; null: not known."""
    max_retries: CountOrZero = 5
    """How often a failed request is repeated."""
    max_failures: Count = 10
    """Records in a row without an answer, retries included, after which the endpoint counts as dead."""
    when_dead: Literal["keep", "stop"] = "keep"
    """Whether a dead endpoint leaves the small model's answers, to be asked again later, or stops the job."""
    batch: Annotated[
        Annotated[bool, Tag("switch")] | Annotated[BatchSettings, Tag("settings")],
        Discriminator(switch_or_settings),
    ] = False
    """Whether to use the provider's batch endpoint (docs/batch.md): true, or its settings."""

    @property
    def batching(self) -> BatchSettings | None:
        """How batches are made; None where each record is asked about at once."""
        if isinstance(self.batch, BatchSettings):
            return self.batch
        return BatchSettings() if self.batch else None


Model = Annotated[LlamaCppModel | OpenAIModel, Field(discriminator="engine")]
