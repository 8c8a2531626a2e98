"""How many tokens a local model would evaluate for texts: its tokenizer counts them, nothing is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transforms.label_scorer import tokens_beside_text
from transforms.llama_adapter import LlamaModel
from transforms.local_scorer import prompt_of
from transforms.model_files import fetch_model
from transforms.prompt_text import PromptText
from transforms.retriever import Retriever

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Task
    from router.prompts import LabelPrompt
    from router.records import Record
    from transforms.local_scorer import LocalModel


def count_tokens(local: LocalModel, tasks: Mapping[str, Task], records: Sequence[Record]) -> list[int]:
    """Tokens that each record would take, those of the cached prompt left out.

    Raises `ModelFileError` where the file is missing or not a model.
    """
    model = LlamaModel(fetch_model(local.name, local.model))
    beside: dict[str, int] = {}
    prompts: dict[str, LabelPrompt] = {}
    for name in {record.task for record in records}:
        _, prompt, tree = prompt_of(model, local, tasks[name])
        prompts[name] = prompt
        beside[name] = tokens_beside_text(model, prompt, label_tree=tree)
    retriever = Retriever(local.retrieval)
    found = []
    for one in records:
        if retriever.retrieves(one.task):
            part = PromptText(model, tasks[one.task], prompts[one.task])
            own = len(part.before(retriever.find(one))) + len(part.of(one.text))
        else:
            own = len(model.tokenize(one.text, special=False))
        found.append(own + beside[one.task])
    model.close()
    return found
