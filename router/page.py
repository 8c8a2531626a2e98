"""What an output's pages share: their frame and looks, and how they show figures and foreign text.

Each page is one file without scripts, for which nothing is fetched.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHOWN_CHARACTERS = 200
"""How much of a row's text a page shows, and of its id and names."""

_SHOWN_MONEY = Decimal("0.000001")


def render_page(template: str, **values: object) -> str:
    """The page as HTML text, in the frame of `page.html.j2`.

    What is in `values` is foreign: it is escaped, and the page forbids scripts and requests.

    Args:
        template: The name of a template in this folder that extends `page.html.j2`.
        values: What the template shows; `title` among it.
    """
    return _environment().get_template(template).render(**values)


def cut(text: str) -> str:
    """At most `SHOWN_CHARACTERS` of a text, its white space joined; an ellipsis tells that there is more."""
    # Four times as many are looked at: enough where the text is not mostly white space.
    head = " ".join(text[: 4 * SHOWN_CHARACTERS].split())
    shortened = len(head) > SHOWN_CHARACTERS or len(text) > 4 * SHOWN_CHARACTERS
    return head[:SHOWN_CHARACTERS] + "…" if shortened else head


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"count": _count, "money": _money, "duration": _duration, "rate": _rate}
    return environment


def _count(number: int) -> str:
    return f"{number:,}"


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _money(text: str) -> str:
    amount = Decimal(text)
    if 0 < amount < _SHOWN_MONEY:
        return f"< ${_SHOWN_MONEY}"
    return f"${amount.quantize(_SHOWN_MONEY):,}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"
