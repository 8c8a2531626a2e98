"""The rules of the job's models, each tried on models that are built directly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from router.job import (
    BatchSettings,
    Budget,
    Example,
    ExampleSource,
    Gate,
    Job,
    LlamaCppModel,
    OpenAIModel,
    Price,
    Task,
    When,
)

LABELS = [{"name": "bad"}, {"name": "good"}]


def job_data(**changes: object) -> dict[str, Any]:
    """Return a valid job as plain data, with other values for whole sections."""
    data: dict[str, Any] = {
        "name": "n",
        "input": {"path": "in.jsonl", "task": None, "gold": None},
        "output": {"path": "out"},
        "tasks": [{"name": "tone", "instruction": "Say the tone.", "labels": LABELS}],
        "models": {
            "small": {"engine": "llama_cpp", "source": "s.gguf"},
            "big": {"engine": "openai", "model": "m"},
        },
        "routing": {"default": "small", "escalate_to": "big"},
    }
    return data | changes


def complaints(model: type[BaseModel], data: object) -> list[tuple[str, str]]:
    """Return (dotted place, message) of all that the model refuses."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return [(".".join(map(str, error["loc"])), error["msg"]) for error in caught.value.errors()]


def test_small_job_gets_defaults() -> None:
    """What a job leaves out has the documented default."""
    job = Job.model_validate(job_data())

    assert job.routing.gate == Gate(min_confidence=0.8)
    assert job.output.format == "parquet"
    assert job.budget is None
    assert job.tasks[0].label_names == ("bad", "good")


def test_models_are_frozen() -> None:
    """A job cannot be changed after it was checked."""
    job = Job.model_validate(job_data())

    with pytest.raises(ValidationError):
        job.name = "other"


def test_task_names_must_differ() -> None:
    """The second task of a name is the one that is refused."""
    task = {"name": "tone", "instruction": "i", "labels": LABELS}
    data = job_data(tasks=[task, task], input={"path": "in", "task": "t"})

    assert complaints(Job, data) == [("tasks.1.name", "is there twice; give each its own name")]


def test_several_tasks_need_no_task_column() -> None:
    """Without input.task the router sorts the records."""
    tasks = [{"name": name, "instruction": "i", "labels": LABELS} for name in ("a", "b")]

    assert len(Job.model_validate(job_data(tasks=tasks)).tasks) == 2
    assert len(Job.model_validate(job_data(tasks=tasks, input={"path": "in", "task": "t"})).tasks) == 2


def test_label_names_must_differ() -> None:
    """Two labels of one name could not be told apart in the output."""
    data = {"name": "t", "instruction": "i", "labels": [*LABELS, {"name": "bad"}]}

    assert complaints(Task, data) == [("labels.2.name", "is there twice; give each its own name")]


@pytest.mark.parametrize(("kind", "count"), [("single_label", 2), ("multi_label", 1)])
def test_fewest_labels(kind: str, count: int) -> None:
    """single_label needs a choice of two; multi_label is a yes or no for each label."""
    task = Task.model_validate({"name": "t", "kind": kind, "instruction": "i", "labels": LABELS[:count]})

    assert len(task.labels) == count


def test_one_label_is_no_choice() -> None:
    """A single_label task with one label is refused, one without labels of any kind too."""
    single = {"name": "t", "instruction": "i", "labels": LABELS[:1]}
    none = {"name": "t", "kind": "multi_label", "instruction": "i", "labels": []}

    assert complaints(Task, single) == [("labels", "has 1 label; single_label needs at least 2")]
    assert [place for place, _ in complaints(Task, none)] == ["labels"]


def test_examples_labels_are_on_the_list() -> None:
    """An example with a label that the task does not have is refused, with the nearest label."""
    data = {
        "name": "t",
        "instruction": "i",
        "labels": LABELS,
        "examples": [{"text": "x", "label": "goood"}, {"text": "y", "label": ["bad"]}],
    }

    assert complaints(Task, data) == [
        ("examples.0.label", "is not a label of this task; did you mean good?"),
        ("examples.1.label", "is a list, but single_label takes one label; give it as text"),
    ]


def test_examples_may_name_where_to_draw_them_from() -> None:
    """The columns are named as those of many a dataset; a list of labels cannot be drawn."""
    data = {"name": "t", "instruction": "i", "labels": LABELS}

    task = Task.model_validate(data | {"examples": {"from": "rows.parquet"}})

    assert isinstance(task.examples, ExampleSource)
    assert (task.examples.path, task.examples.text, task.examples.label) == ("rows.parquet", "text", "label")
    assert task.shown == ()
    assert Task.model_validate(task.model_dump(mode="json")) == task
    many = data | {"kind": "multi_label", "examples": {"from": "rows.parquet"}}
    says = (
        "takes a list of examples where the task is multi_label, or a source with `k`, the number of nearest "
        "rows to show; give one of them"
    )
    assert complaints(Task, many) == [("examples", says)]


def test_keys_that_say_nothing_are_not_written() -> None:
    """What is written of a job decides whether an output is finished: later versions must not change it."""
    plain = Task.model_validate({"name": "t", "instruction": "i", "labels": LABELS})
    drawn = Task.model_validate(plain.model_dump() | {"examples": {"from": "rows.parquet"}})
    near = Task.model_validate(plain.model_dump() | {"examples": {"from": "rows.parquet", "k": 0}})

    assert list(plain.model_dump()) == ["name", "kind", "instruction", "labels", "examples"]
    assert drawn.model_dump()["examples"] == {"from": "rows.parquet", "text": "text", "label": "label"}
    assert near.model_dump()["examples"] == {"from": "rows.parquet", "text": "text", "label": "label", "k": 0}


def test_multi_label_examples_take_one_or_many() -> None:
    """With multi_label an example has one label, several, or none; each must be on the list."""
    data: dict[str, Any] = {"name": "t", "kind": "multi_label", "instruction": "i", "labels": LABELS}
    examples = [{"text": "x", "label": label} for label in ("bad", ["bad", "good"], [])]

    task = Task.model_validate(data | {"examples": examples})

    assert [example.label for example in task.shown] == ["bad", ("bad", "good"), ()]
    wrong = data | {"examples": [{"text": "x", "label": ["bad", "zzz"]}]}
    assert complaints(Task, wrong) == [
        ("examples.0.label.1", "is not a label of this task; known: bad, good")
    ]


def test_example_label_must_be_text() -> None:
    """A wrong type is one complaint, not one for each form that a label can have."""
    assert len(complaints(Example, {"text": "x", "label": 3})) == 1


def test_routing_names_existing_models() -> None:
    """Every model that the routing names must be there; all wrong names are told at once."""
    rule = {"when": {"languages": ["ja"]}, "use": "smal"}
    routing = {"default": "smalll", "escalate_to": "other", "rules": [rule]}

    assert complaints(Job, job_data(routing=routing)) == [
        ("routing.default", "is not one of the models; did you mean small?"),
        ("routing.escalate_to", "is not one of the models; known: small, big"),
        ("routing.rules.0.use", "is not one of the models; did you mean small?"),
    ]


def test_escalation_goes_elsewhere() -> None:
    """To ask the default model again would only cost time."""
    routing = {"default": "small", "escalate_to": "small"}

    assert complaints(Job, job_data(routing=routing)) == [
        ("routing.escalate_to", "is routing.default too; name another model, or null")
    ]


def test_rules_name_existing_tasks() -> None:
    """A rule for a task that is not there would never match."""
    rule = {"when": {"tasks": ["tone", "ton"]}, "use": "big"}

    assert complaints(Job, job_data(routing={"default": "small", "rules": [rule]})) == [
        (
            "routing.rules.0.when.tasks.1",
            "is not one of the tasks, nor of those that the router knows; did you mean tone?",
        )
    ]


def test_rule_needs_a_condition() -> None:
    """A rule without a condition would match everything; one with an empty list, nothing."""
    assert complaints(When, {}) == [
        (
            "",
            (
                "has no condition; give at least one of "
                "languages, tasks, domains, complexity_above, characters_above"
            ),
        )
    ]
    assert [place for place, _ in complaints(When, {"languages": []})] == ["languages"]
    assert When.model_validate({"characters_above": 0}).characters_above == 0


@pytest.mark.parametrize("code", ["en", "und", "yue"])
def test_language_codes(code: str) -> None:
    """Two or three lower-case letters are a language code."""
    assert When.model_validate({"languages": [code]}).languages == (code,)


@pytest.mark.parametrize("code", ["e", "engl", "EN", "e1", "zh-TW", "", "en\n"])
def test_not_language_codes(code: str) -> None:
    """Anything else would never equal a detected language."""
    assert complaints(When, {"languages": [code]})[0][0] == "languages.0"


def test_gate_is_of_one_kind() -> None:
    """A gate has min_confidence or target, not both and not neither; the terms belong to target."""
    message = "needs exactly one of min_confidence and target; give one and leave out the other"
    both = {"min_confidence": 0.8, "target": 0.9, "oracle": "gold"}
    term = {"min_confidence": 0.8, "delta": 0.1}

    assert complaints(Gate, {}) == [("", message)]
    assert complaints(Gate, both) == [("", message)]
    assert complaints(Gate, term) == [
        ("delta", "goes with target; leave it out, or give target in place of min_confidence")
    ]


def test_target_completes_its_terms() -> None:
    """A target without its terms promises with delta 0.05 against the LLM; given terms stay."""
    plain = Gate.model_validate({"target": 0.95})
    given = Gate.model_validate({"target": 0.95, "delta": 0.1, "oracle": "gold"})

    assert (plain.delta, plain.oracle) == (0.05, "llm")
    assert (given.delta, given.oracle) == (0.1, "gold")
    assert Gate.model_validate(plain.model_dump()) == plain


def test_a_student_is_off_until_it_is_asked_for() -> None:
    """YAML makes false of off; without a target there is nothing to ask it for."""
    assert Gate.model_validate({"target": 0.9}).student == "off"
    assert Gate.model_validate({"target": 0.9, "student": False}).student == "off"
    assert Gate.model_validate({"target": 0.9, "student": "auto"}).student == "auto"
    assert Gate.model_validate({"min_confidence": 0.8}).student is None
    assert [place for place, _ in complaints(Gate, {"target": 0.9, "student": "on"})] == ["student"]
    assert complaints(Gate, {"min_confidence": 0.8, "student": "auto"}) == [
        ("student", "goes with target; leave it out, or give target in place of min_confidence")
    ]


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.1, float("nan"), True])
@pytest.mark.parametrize("key", ["target", "delta"])
def test_promise_is_strictly_between_0_and_1(key: str, value: float) -> None:
    """Certainty cannot be promised, and nothing need not be."""
    data = {"target": 0.9, "delta": 0.1, "oracle": "gold"} | {key: value}

    assert [place for place, _ in complaints(Gate, data)] == [key]


@pytest.mark.parametrize("value", [0, 1])
def test_min_confidence_includes_its_ends(value: float) -> None:
    """0 trusts everything, 1 only certainty."""
    assert Gate.model_validate({"min_confidence": value}).min_confidence == value


def test_oracle_must_be_there() -> None:
    """The LLM as oracle needs one to ask; gold labels need their column."""
    llm = {"default": "small", "gate": {"target": 0.9}}
    gold = {"default": "small", "gate": {"target": 0.9, "oracle": "gold"}}

    assert [place for place, _ in complaints(Job, job_data(routing=llm))] == ["routing.gate.oracle"]
    assert [place for place, _ in complaints(Job, job_data(routing=gold))] == ["routing.gate.oracle"]
    job = Job.model_validate(job_data(routing=gold, input={"path": "in", "gold": "truth"}))
    assert job.routing.gate.oracle == "gold"


@pytest.mark.parametrize("path", ["in.jsonl", "./in.jsonl", "x/../in.jsonl"])
def test_output_is_not_the_input(path: str) -> None:
    """The input must not be overwritten, however its path is written."""
    assert complaints(Job, job_data(output={"path": path})) == [
        ("output.path", "is input.path too; give another folder")
    ]


@pytest.mark.parametrize("given", [0.05, "0.05"])
def test_money_is_exact(given: object) -> None:
    """A price is the decimal that was written, whether YAML read it as a number or as text."""
    model = LlamaCppModel.model_validate({"engine": "llama_cpp", "source": "s", "usd_per_hour": given})

    assert model.usd_per_hour == Decimal("0.05")


@pytest.mark.parametrize("value", [0, -1, "0.00", "inf", "nan", True, "five"])
def test_budget_is_above_zero(value: object) -> None:
    """A budget of nothing, or of no amount at all, is refused."""
    assert [place for place, _ in complaints(Budget, {"max_usd": value})] == ["max_usd"]


def test_price_may_be_zero() -> None:
    """One's own server may cost nothing by the token."""
    price = Price.model_validate({"input_usd_per_million_tokens": 0, "output_usd_per_million_tokens": "0"})

    assert price.input_usd_per_million_tokens == Decimal(0)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "_k", "hf_token"])
def test_environment_names(name: str) -> None:
    """The key is named by the environment variable that holds it."""
    model = OpenAIModel.model_validate({"engine": "openai", "model": "m", "api_key_env": name})

    assert model.api_key_env == name


@pytest.mark.parametrize("key", ["sk-proj-abc123", "", "9A", "A B", "gsk_Abcdefgh12345678", "a1b2" * 8])
def test_pasted_keys_are_refused_unseen(key: str) -> None:
    """A key in place of its variable's name is refused, and pydantic's own message does not repeat it."""
    with pytest.raises(ValidationError) as caught:
        OpenAIModel.model_validate({"engine": "openai", "model": "m", "api_key_env": key})

    assert caught.value.errors()[0]["loc"] == ("api_key_env",)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (False, None),
        (True, BatchSettings()),
        ({}, BatchSettings()),
        ({"max_requests": 10, "poll_seconds": 1}, BatchSettings(max_requests=10, poll_seconds=1.0)),
    ],
)
def test_batch_is_a_switch_or_settings(given: object, expected: BatchSettings | None) -> None:
    """`true` means the provider's own limits; what is written out and read again is the same."""
    model = OpenAIModel.model_validate({"engine": "openai", "model": "m", "batch": given})

    assert model.batching == expected
    assert OpenAIModel.model_validate(model.model_dump(mode="json")).batching == expected
