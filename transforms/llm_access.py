"""Whether a job may talk to its LLM at all: keys, URLs, and what to do where one is wrong."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.job import OpenAIModel

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY_VARIABLE = "OPENAI_API_KEY"
_USUAL_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_HEADER_VALUE = re.compile(r"[!-~]+")


class LlmStop(RuntimeError):  # noqa: N818 - named by what the caller must do
    """The job cannot go on with this endpoint: its key, model or URL is wrong, or it is dead."""


def preflight(model: OpenAIModel, environ: Mapping[str, str] = os.environ) -> None:
    """Check, without a call, what a job needs before it asks an LLM: its key is set and its URL is one.

    Raises:
        LlmStop: It is not so; the message says what to change. It never holds the key.

    """
    _check_url(model)
    api_key(model, environ)


def endpoint(model: OpenAIModel) -> str:
    """Return the base URL that the model's requests go to."""
    return OPENAI_URL if model.base_url is None else model.base_url


def api_key(model: OpenAIModel, environ: Mapping[str, str]) -> str | None:
    """Return the key from the environment; None where the model needs none.

    Raises:
        LlmStop: The variable is not set, or holds what an HTTP header cannot carry.

    """
    variable = _key_variable(model)
    if variable is None:
        return None
    # Keys that are read from files end in a newline more often than not.
    key = environ.get(variable, "").strip()
    if not key:
        raise LlmStop(
            f"model {model.model!r}: {_shown(variable)} is not set. Set it to the key of {endpoint(model)}"
            + ("" if model.base_url is None else ", or leave api_key_env out if that endpoint needs none")
        )
    if not _HEADER_VALUE.fullmatch(key):
        raise LlmStop(
            f"model {model.model!r}: {_shown(variable)} holds spaces or characters outside ASCII, so it is "
            "not a key. Set it again, without quotes or line breaks"
        )
    return key


def stop_message(model: OpenAIModel, status: int, detail: str) -> str:
    """Say what a person must do after an error that no retry will cure."""
    variable = _key_variable(model)
    if status not in (401, 403):
        todo = (
            f"Check `model` ({model.model!r}) and `base_url`: most servers want a base_url that ends in /v1 "
            "and list their models under /v1/models"
        )
    elif variable is None:
        todo = "No key was sent. Name the environment variable that holds one in `api_key_env`"
    else:
        todo = f"Set {_shown(variable)} to a key that may use model {model.model!r}"
    return f"{detail}. {todo}"


def _key_variable(model: OpenAIModel) -> str | None:
    if model.api_key_env is None and model.base_url is None:
        return OPENAI_KEY_VARIABLE
    return model.api_key_env


def _shown(variable: str) -> str:
    if _USUAL_NAME.fullmatch(variable):
        return f"the environment variable {variable}"
    # Somebody will put the key itself there one day; it must not end up in a log.
    return "the environment variable that api_key_env names (not shown: it does not look like MY_API_KEY)"


def _check_url(model: OpenAIModel) -> None:
    if model.base_url is None:
        return
    try:
        url = urlsplit(model.base_url)
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    fault = ""
    if url.scheme not in ("http", "https") or not host or re.search(r"\s", model.base_url):
        fault = "it must look like https://host/v1"
    elif "@" in url.netloc:
        fault = "it must not hold a password: put the key into a variable and name that in api_key_env"
    elif url.query or url.fragment:
        fault = "it must not have a query (?…) or a fragment (#…)"
    elif url.path.rstrip("/").endswith("/chat/completions"):
        fault = "leave /chat/completions out, it is appended"
    if fault:
        # Only the host is shown, because the rest of a malformed URL may be a secret.
        raise LlmStop(f"model {model.model!r}: base_url (host {host!r}) cannot be used: {fault}")
