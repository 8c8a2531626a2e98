"""How many tokens a local model would evaluate for texts: its tokenizer counts them, nothing is evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.prompts import shown_before
from transforms.label_scorer import tokens_beside_text
from transforms.llama_adapter import LlamaModel
from transforms.model_files import fetch_model
from transforms.retriever import Retriever
from transforms.slm_handler import prompt_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from router.job import Task
    from router.prompts import LabelPrompt
    from router.records import Record
    from transforms.slm_handler import LocalModel


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
        before = shown_before(tasks[one.task], prompts[one.task], retriever.find(one))
        found.append(len(model.tokenize(before + one.text, special=False)) + beside[one.task])
    model.close()
    return found
