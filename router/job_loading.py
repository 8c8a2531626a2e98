"""Reading a job file: YAML to a checked `Job`, with everything that is wrong said at once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from router.job import Job
from router.job_errors import Problem, explain, mended, merged
from router.job_wording import looks_secret, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

_NOTHING: Mapping[str, str] = MappingProxyType({})
_PLACEHOLDER = re.compile(r"(\$?)\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class JobError(ValueError):
    """A job file or what was given with it is wrong; `lines` holds one line for each mistake."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Keep the lines; the message is all of them."""
        self.lines = tuple(lines)
        super().__init__(self.lines)

    def __str__(self) -> str:
        """Join the lines."""
        return "\n".join(self.lines)


def load_job(
    path: str | os.PathLike[str],
    *,
    sets: Mapping[str, str] = _NOTHING,
    environ: Mapping[str, str] | None = None,
) -> Job:
    """Read a job file.

    Args:
        path: a local YAML file in UTF-8.
        sets: values for `${NAME}`, which come before those of the environment.
        environ: the environment, that of the process where it is None.

    Raises:
        JobError: the file cannot be read, or anything in it is wrong.

    """
    name = os.fspath(path)
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise JobError([f"{name}: no such file; give the path of a job file"]) from None
    except IsADirectoryError:
        raise JobError([f"{name}: a directory; give the path of a job file in it"]) from None
    except UnicodeDecodeError as error:
        raise JobError([f"{name}: not UTF-8 (at byte {error.start}); save it as UTF-8"]) from None
    except OSError as error:
        raise JobError([f"{name}: cannot be read ({error.strerror}); check its permissions"]) from None
    return parse_job(text, name=name, sets=sets, environ=environ)


def parse_job(
    text: str,
    *,
    name: str = "<job>",
    sets: Mapping[str, str] = _NOTHING,
    environ: Mapping[str, str] | None = None,
) -> Job:
    """Read a job from YAML text; `name` stands for the file in messages, the rest is as in `load_job`.

    Raises:
        JobError: anything in it is wrong.

    """
    try:
        data = _read_yaml(text, name)
        filled, problems, originals = _fill(data, sets, os.environ if environ is None else environ)
    except RecursionError:
        raise JobError(
            [f"{name}: nested too deeply, or an alias inside its own anchor; flatten it"]
        ) from None
    if data is None:
        raise JobError([f"{name}: empty; give a job with at least {', '.join(_required_keys())}"])
    return _checked(filled, name, problems, originals)


def parse_sets(pairs: Iterable[str]) -> dict[str, str]:
    """Read the `NAME=VALUE` pairs of `--set`; the last of a repeated name counts.

    Raises:
        JobError: a pair has no `=`, or what is before it is not a name.

    """
    split = [pair.partition("=") for pair in pairs]
    lines = []
    for name, equals, _ in split:
        if not (equals and _VARIABLE.fullmatch(name)):
            cause = "the part before '=' is not a name" if equals else "there is no '='"
            lines.append(f"--set {shown(name) or '(not shown)'}: {cause}; write --set NAME=VALUE")
    if lines:
        raise JobError(lines)
    return {name: value for name, _, value in split}


def job_schema() -> dict[str, Any]:
    """Return the JSON Schema of the job file, for editors: keys, choices, and what each key means."""
    schema = Job.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Tekizai job file",
    }


def apply_overrides(job: Job, *, input_path: str | None = None, output_path: str | None = None) -> Job:
    """Return the job with other places to read from or write to; None leaves a place as it is.

    Raises:
        JobError: the job is not valid with them.

    """
    data = job.model_dump()
    for section, path in (("input", input_path), ("output", output_path)):
        if path is not None:
            data[section]["path"] = path
    return _checked(data, "--input/--output", [], {})


def _checked(data: object, name: str, problems: Sequence[Problem], originals: Mapping[str, str]) -> Job:
    job, errors = _validated(data)
    if errors:
        schema = job_schema()
        found = explain(errors, schema, originals)
        problems = merged(problems, found)
        # A misspelt key hides what else is wrong, so look once more at what was probably meant.
        _, later = _validated(mended(data, found))
        problems = merged(problems, explain(later, schema, originals))
    if job is None or problems:
        raise JobError(problem.line(name) for problem in problems)
    return job


def _validated(data: object) -> tuple[Job | None, list[ErrorDetails]]:
    try:
        return Job.model_validate(data), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _required_keys() -> list[str]:
    return [key for key, field in Job.model_fields.items() if field.is_required()]


class _Loader(yaml.SafeLoader):
    """Safe YAML, with what job files need otherwise: keys only once; `no`, `on` and dates are text.

    YAML 1.1 reads the language code and label `no` as false; the strings of YAML 1.2 are what people expect.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way to say it
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if not tag.endswith(":timestamp") and not (tag.endswith(":bool") and first not in "tTfF")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.repeated: list[str] = []

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value in lines:
                what, first = shown(key.value) or "(not shown)", lines[key.value]
                self.repeated.append(
                    f"line {line}: key {what} is there twice (first in line {first}); keep one"
                )
            elif isinstance(key, yaml.ScalarNode):
                lines[key.value] = line
        return node


def _read_yaml(text: str, name: str) -> object:
    try:
        loader = _Loader(text)
        try:
            data: object = loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = error.problem or "not YAML"
        cause = "not YAML" if looks_secret(problem) else problem
        fix = "check the indentation, and quote text with special characters (also ${NAME} inside {...})"
        raise JobError([f"{name}: {place}{cause}; {fix}"]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"
        raise JobError([f"{name}: {place}: a control character; delete it"]) from None
    except ValueError:
        # Python refuses numbers of more than 4300 digits; its message has no place.
        raise JobError([f"{name}: holds a number that is too long; put it in quotes"]) from None
    if loader.repeated:
        raise JobError(f"{name}: {line}" for line in loader.repeated)
    return data


def _fill(
    data: object, sets: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[object, list[Problem], dict[str, str]]:
    """Replace `${NAME}` in every text that is a value, at any depth.

    Returns:
        The data; what could not be replaced; and for each text that the environment had a part in, the text
        before: messages show that one, because the environment is where secrets are.

    """
    problems: list[Problem] = []
    originals: dict[str, str] = {}

    def replaced(text: str, path: tuple[str | int, ...]) -> str:
        names = [name for escape, name in _PLACEHOLDER.findall(text) if not escape]
        for name in names:
            if not _VARIABLE.fullmatch(name):
                what = shown(f"${{{name}}}") or "a placeholder"
                says = f"{what} holds no name; write ${{NAME}}, or $${{...}} for the text itself"
                problems.append(Problem(path, says))
            elif name not in sets and name not in environ:
                says = f"${{{name}}} has no value; give it with --set {name}=VALUE or in the environment"
                problems.append(Problem(path, says))
        known = {name: sets.get(name, environ.get(name, f"${{{name}}}")) for name in names}
        result = _PLACEHOLDER.sub(lambda found: found[0][1:] if found[1] else known[found[2]], text)
        if any(name not in sets for name in names):
            originals[result] = text
        return result

    def walked(value: object, path: tuple[str | int, ...]) -> object:
        if isinstance(value, str):
            return replaced(value, path)
        if isinstance(value, list):
            return [walked(item, (*path, i)) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: walked(item, (*path, key)) for key, item in value.items()}
        return value

    return walked(data, ()), problems, originals
