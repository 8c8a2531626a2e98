"""Lines of the journal of routes: what they hold, what damages them, and what makes old ones useless."""

from __future__ import annotations

import dataclasses

import pytest

from router.findings import Findings, Wanted
from router.route_journal import (
    RouterFacts,
    as_kept,
    read_route,
    route_fingerprint,
    write_route,
)

KEY = bytes(range(16))
FACTS = RouterFacts("1.0", "encoder", "heads")
ALL = Wanted(task=False)
FOUND = Findings("en", None, domain="law", complexity=0.2134)


def test_a_line_holds_what_a_route_is_made_from() -> None:
    """What was not found takes no room."""
    line = write_route(KEY, FOUND)

    assert line == (
        b'{"key":"000102030405060708090a0b0c0d0e0f","language":"en","domain":"law","complexity":0.2134}\n'
    )
    assert read_route(line) == (KEY, FOUND)


def test_findings_without_anything_but_a_language_come_back_as_they_were() -> None:
    """As of a job that looks for nothing else."""
    assert read_route(write_route(KEY, Findings("und"))) == (KEY, Findings("und"))


def test_probabilities_are_not_kept() -> None:
    """They choose no model, and no output shows them."""
    found = Findings("en", "code", 0.9, "law", 0.5, 0.25)

    assert as_kept(found) == Findings("en", "code", None, "law", None, 0.25)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(write_route(KEY, FOUND)[:-2], id="torn"),
        pytest.param(write_route(KEY, FOUND)[20:], id="without its beginning"),
        pytest.param(b'{"key":"000102030405060708090a0b0c0d0e0f","domain":"law"}\n', id="no language"),
        pytest.param(b'{"key":"000102030405060708090a0b0c0d0e0f","language":7}\n', id="a number for a name"),
        pytest.param(
            b'{"key":"000102030405060708090a0b0c0d0e0f","language":"en","complexity":"1"}\n', id="text"
        ),
        pytest.param(b'{"key":"00010203040506070809","language":"en","domain":"law"}\n', id="a short key"),
        pytest.param(b'{"format":1,"fingerprint":"00","router":true}\n', id="the header"),
    ],
)
def test_a_damaged_line_is_none(line: bytes) -> None:
    """It costs its own text only: that is read again."""
    assert read_route(line) is None


@pytest.mark.parametrize(
    ("facts", "wanted"),
    [
        (dataclasses.replace(FACTS, languages="1.1"), ALL),
        (dataclasses.replace(FACTS, encoder="other"), ALL),
        (dataclasses.replace(FACTS, heads="other"), ALL),
        (dataclasses.replace(FACTS, domains=(("ports", None),)), ALL),
        (FACTS, Wanted()),
    ],
)
def test_what_decides_findings_is_in_the_fingerprint(facts: RouterFacts, wanted: Wanted) -> None:
    """Other models, lists or wishes find other things."""
    assert route_fingerprint(facts, wanted) != route_fingerprint(FACTS, ALL)


def test_languages_alone_do_not_depend_on_the_encoder() -> None:
    """A job that looks for nothing else keeps its findings when the heads are trained anew."""
    language = Wanted(task=False, domain=False, complexity=False)
    others = dataclasses.replace(FACTS, encoder="other", heads="other", domains=(("ports", None),))

    assert route_fingerprint(others, language) == route_fingerprint(FACTS, language)
