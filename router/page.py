"""What the pages share: their frame and looks, and how they show figures and foreign text.

Each page is one file for which nothing is fetched. Its only script sorts tables; all is there without it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHOWN_CHARACTERS = 200
"""How much of a row's text a page shows, and of its id and names."""

_SHOWN_MONEY = Decimal("0.000001")
_MINUTE = 60


def render_page(template: str, **values: object) -> str:
    """The page as HTML text, in the frame of `page.html.j2`.

    What is in `values` is foreign: it is escaped, and the page forbids requests and all scripts but its own.

    Args:
        template: The name of a template in this folder that extends `page.html.j2`.
        values: What the template shows; `title` among it.
    """
    script = _script()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _environment().get_template(template).render(**values, script=script, script_digest=digest)


def cut(text: str) -> str:
    """At most `SHOWN_CHARACTERS` of a text, its white space joined; an ellipsis tells that there is more."""
    # Four times as many are looked at: enough where the text is not mostly white space.
    head = " ".join(text[: 4 * SHOWN_CHARACTERS].split())
    shortened = len(head) > SHOWN_CHARACTERS or len(text) > 4 * SHOWN_CHARACTERS
    return head[:SHOWN_CHARACTERS] + "…" if shortened else head


@functools.cache
def _script() -> str:
    return (Path(__file__).parent / "sorting.js").read_text(encoding="utf-8")


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "count": _count,
        "money": money,
        "duration": duration,
        "rate": _rate,
        "percent": percent,
        "seconds": _rate,
        "when": when,
    }
    return environment


def money(text: str) -> str:
    """An amount as people read it: to a millionth of a dollar."""
    amount = Decimal(text)
    if 0 < amount < _SHOWN_MONEY:
        return f"< ${_SHOWN_MONEY}"
    return f"${amount.quantize(_SHOWN_MONEY):,}"


def duration(seconds: float) -> str:
    """How long something took, as people say it."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"


def when(moment: str) -> str:
    """A moment in ISO form as people read it; what is none stays as it is."""
    try:
        found = datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return moment
    zone = "UTC" if found.utcoffset() == timedelta(0) else found.strftime("%z")
    return f"{found:%Y-%m-%d %H:%M} {zone}".strip()


def percent(share: float | None) -> str:
    """A share of the whole; a dash where it is not known."""
    return "–" if share is None else f"{share:.1%}"


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
