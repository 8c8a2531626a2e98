"""A model's own chat template, rendered where it can do no harm.

Templates come with the model file and are not trusted: they have carried exploits.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_RENDER_SECONDS = 5
"""Processor time that a chat template may take; real ones take milliseconds."""
MAX_RENDER_BYTES = 1 << 30
"""Memory that its process may take, the interpreter included."""
MAX_RENDER_CHARACTERS = 1_000_000

FIX = "use prompt: {form: plain}"
"""What a user can do about a template that cannot be used."""

_CONTENT = "\u2063content\u2063"
_WAIT_SECONDS = 60 + MAX_RENDER_SECONDS
"""A busy machine may take long over a second of processor time."""
_SHOWN_CHARACTERS = 300
_CHILD = """
import json, sys
request = json.load(sys.stdin)
sys.path[:] = request.pop("path")
from router.chat_template import render_bounded
json.dump(render_bounded(**request), sys.stdout)
"""
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_TEMPLATE_ERRORS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What code in a template can raise, the sandbox's refusals among them."""


def around_message(template: str, bos: str, eos: str) -> tuple[str, str]:
    """What a chat template puts before and after a user's message; its special tokens are written out.

    Templates come with the model file and are not trusted. Jinja's sandbox keeps them from this machine, but
    not from loops in loops or from powers without end: so they run in a process of their own that is bounded,
    and that does not have the environment's keys either.
    """
    limits = {"seconds": MAX_RENDER_SECONDS, "memory": MAX_RENDER_BYTES}
    request = {"path": [*map(str, sys.path)], "template": template, "bos": bos, "eos": eos, **limits}
    try:
        done = subprocess.run(  # noqa: S603 - this project's own code; the template goes in as data
            [sys.executable, "-I", "-X", "utf8", "-c", _CHILD],
            input=json.dumps(request).encode(),
            capture_output=True,
            timeout=_WAIT_SECONDS,
            env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _unusable("it does not end") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _unusable(last or f"it takes more than {MAX_RENDER_SECONDS} s of processor time")
    rendered: dict[str, str] = json.loads(done.stdout)
    if "error" in rendered:
        raise _unusable(rendered["error"])
    before, found, after = rendered["text"].partition(_CONTENT)
    if not found or _CONTENT in after:
        problem = "repeats" if found else "drops"
        raise ValueError(f"the model's chat template {problem} the user's message; {FIX}")
    return before, after


def _unusable(cause: str) -> ValueError:
    shown = " ".join(cause.split())[:_SHOWN_CHARACTERS]
    return ValueError(f"the model's chat template cannot be used ({shown}); {FIX}")


def render_bounded(template: str, bos: str, eos: str, *, seconds: int, memory: int) -> dict[str, str]:
    """Render a template in this very process, which is bounded from here on; `text`, or an `error`."""
    _bound("RLIMIT_CPU", seconds)
    _bound("RLIMIT_AS", memory)
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _refuse
    try:
        text = environment.from_string(template).render(
            messages=[{"role": "user", "content": _CONTENT}],
            add_generation_prompt=True,
            bos_token=bos,
            eos_token=eos,
        )
        text.encode()  # for its ValueError: lone surrogates cannot be tokenised
    except _TEMPLATE_ERRORS as error:
        return {"error": str(error)[:_SHOWN_CHARACTERS] or type(error).__name__}
    if len(text) > MAX_RENDER_CHARACTERS:
        return {"error": f"it makes {len(text):,} characters; at most {MAX_RENDER_CHARACTERS:,} are taken"}
    return {"text": text}


def _bound(limit: str, value: int) -> None:
    # Windows has no such limits, macOS does not know them all, and there may be stricter ones already.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415

        # Soft and hard limit are the same, so that the process is killed without a core dump.
        resource.setrlimit(getattr(resource, limit), (value, value))


def _refuse(message: str) -> None:
    raise TemplateError(message)
