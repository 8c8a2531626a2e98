"""Job files and packs as YAML: safe, keys only once, and errors that say line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from router.job_wording import looks_secret, shown

if TYPE_CHECKING:
    from collections.abc import Iterable


class JobError(ValueError):
    """A job file or what was given with it is wrong; `lines` holds one line for each mistake."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Keep the lines; the message is all of them."""
        self.lines = tuple(lines)
        super().__init__(self.lines)

    def __str__(self) -> str:
        """Join the lines."""
        return "\n".join(self.lines)


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


def read_yaml(text: str, name: str) -> object:
    """The values in a YAML text. Raises `JobError` where it is none; `name` stands for the file."""
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
