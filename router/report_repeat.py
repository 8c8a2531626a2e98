"""What it takes to run a job again, as the report shows it: job, versions, models and prices."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml

from router.job_wording import looks_secret
from router.page import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

JOB_FILE = "job.yaml"
LONGEST_JOB = 100_000
"""Characters of a job file that the page shows at most."""

_HIDDEN = "(not shown)"


def repeating(manifest: Mapping[str, Any]) -> dict[str, Any] | None:
    """Job file, command, versions, digests and prices; None where the manifest does not know the job."""
    job = manifest.get("job")
    if not job:
        return None
    text = yaml.safe_dump(without_secrets(job), sort_keys=False, allow_unicode=True, width=100)
    limit = manifest.get("limit")
    command = ["tekizai", "run", JOB_FILE, "--output", "out/again"]
    if limit is not None:
        command += ["--limit", str(limit)]
    return {
        "job": text if len(text) <= LONGEST_JOB else None,
        "hidden": _HIDDEN in text,
        "command": shlex.join(command),
        "job_digest": manifest.get("job_digest"),
        "versions": sorted(manifest.get("versions", {}).items()),
        "models": [_model(name, one, manifest) for name, one in job.get("models", {}).items()],
        "prices": [_price(name, one) for name, one in (manifest.get("prices") or {}).items()],
    }


def _model(name: str, model: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    source = model.get("source") or model.get("model") or ""
    return {
        "name": cut(name),
        "source": cut(without_secrets(source)),
        "sha256": manifest.get("models", {}).get(name, {}).get("sha256"),
    }


def _price(name: str, price: Mapping[str, Any]) -> dict[str, str]:
    return {"model": cut(name)} | {
        key: cut(str(price.get(key) or "")) for key in ("price", "source", "checked")
    }


def without_secrets(value: Any, key: str = "") -> Any:  # noqa: ANN401 - any JSON value
    """The same, without texts that may hold a key or a signed address: reports are passed on."""
    if isinstance(value, dict):
        return {name: without_secrets(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [without_secrets(one, key) for one in value]
    # Digests look like keys, and are none.
    return _HIDDEN if isinstance(value, str) and key != "sha256" and looks_secret(value) else value
