"""Reading a job file: YAML to a checked `Job`, with everything that is wrong said at once."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from router.job import Job
from router.job_checks import read_local
from router.job_errors import Problem, explain, mended, merged
from router.job_wording import shown
from router.job_yaml import JobError, read_yaml
from router.pack_expansion import PACK, expand_packs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from router.domain_pack import ReadFile

__all__ = ["JobError", "apply_overrides", "job_schema", "load_job", "parse_job", "parse_sets"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_PLACEHOLDER = re.compile(r"(\$?)\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def load_job(
    path: str | os.PathLike[str],
    *,
    sets: Mapping[str, str] = _NOTHING,
    environ: Mapping[str, str] | None = None,
    read: ReadFile = read_local,
) -> Job:
    """Read a job file.

    Args:
        path: a local YAML file in UTF-8.
        sets: values for `${NAME}`, which come before those of the environment.
        environ: the environment, that of the process where it is None.
        read: reads the files of packs and schemas; the default knows this machine's paths only.

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
    return parse_job(text, name=name, sets=sets, environ=environ, read=read)


def parse_job(
    text: str,
    *,
    name: str = "<job>",
    sets: Mapping[str, str] = _NOTHING,
    environ: Mapping[str, str] | None = None,
    read: ReadFile = read_local,
) -> Job:
    """Read a job from YAML text; `name` stands for the file in messages, the rest is as in `load_job`.

    Raises:
        JobError: anything in it is wrong.

    """
    try:
        data = read_yaml(text, name)
        filled, problems, originals = _fill(data, sets, os.environ if environ is None else environ)
        # After the placeholders: a pack's own words hold none.
        filled, wrong = expand_packs(filled, read)
    except RecursionError:
        raise JobError(
            [f"{name}: nested too deeply, or an alias inside its own anchor; flatten it"]
        ) from None
    if data is None:
        raise JobError([f"{name}: empty; give a job with at least {', '.join(_required_keys())}"])
    return _checked(filled, name, [*problems, *wrong], originals, read)


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
    # What packs were used is noted when the file is read; the file itself only names them.
    schema["properties"].pop("packs")
    task = schema["$defs"]["Task"]
    labels, own = task["properties"]["labels"], {"type": "array", "items": {"type": "string"}}
    known = {**task["properties"], "labels": {"description": labels["description"], "anyOf": [labels, own]}}
    pack = {"type": "string", "minLength": 1, "description": "A domain pack's name, or its folder."}
    schema["$defs"]["TaskOfPack"] = {
        **task,
        "title": "TaskOfPack",
        "description": "A task from a pack, with what is to differ from it.",
        "properties": {PACK: pack, **known},
        "required": [PACK],
    }
    of = schema["properties"]["tasks"]
    of["items"] = {"anyOf": [of["items"], {"$ref": "#/$defs/TaskOfPack"}]}
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


def _checked(
    data: object,
    name: str,
    problems: Sequence[Problem],
    originals: Mapping[str, str],
    read: ReadFile = read_local,
) -> Job:
    job, errors = _validated(data, read)
    if errors:
        schema = Job.model_json_schema()
        found = explain(errors, schema, originals)
        problems = merged(problems, found)
        # A misspelt key hides what else is wrong, so look once more at what was probably meant.
        _, later = _validated(mended(data, found), read)
        problems = merged(problems, explain(later, schema, originals))
    if job is None or problems:
        raise JobError(problem.line(name) for problem in problems)
    return job


def _validated(data: object, read: ReadFile) -> tuple[Job | None, list[ErrorDetails]]:
    try:
        return Job.model_validate(data, context={"read": read}), []
    except ValidationError as error:
        return None, error.errors(include_url=False)


def _required_keys() -> list[str]:
    return [key for key, field in Job.model_fields.items() if field.is_required()]


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
