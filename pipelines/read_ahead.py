"""Reading the models' files while Beam is imported: both take a second, and this one needs no Python."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.job import Job, LlamaCppModel

_ON_THIS_MACHINE = ("", "pypi")
"""Schemes of sources that nothing is fetched for."""


def read_ahead(job: Job) -> threading.Thread:
    """Begin to take the digests of the local models' files; `file_digest` then knows them, or waits.

    What is wrong with a file is told when it is opened.
    """
    models = [job.models[name] for name in job.used_models]
    # Making a model in another format takes a minute, and is told where it is waited for.
    local = [model for model in models if model.engine == "llama_cpp" and model.format is None]
    thread = threading.Thread(target=_read, args=(local,), name="read-ahead", daemon=True)
    thread.start()
    return thread


def _read(models: list[LlamaCppModel]) -> None:
    from transforms.model_files import fetch_model, file_digest  # noqa: PLC0415 - imports llama.cpp

    for model in models:
        if model.source.rpartition("://")[0] in _ON_THIS_MACHINE:
            with contextlib.suppress(OSError, ValueError):
                file_digest(fetch_model("", model))
