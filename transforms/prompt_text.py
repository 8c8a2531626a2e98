"""The tokens of what changes in a prompt from record to record: what was found for it, and its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.prompts import shown_before

if TYPE_CHECKING:
    from router.job import Task
    from router.prompts import LabelPrompt
    from router.retrieval import Found
    from transforms.llama_adapter import LlamaModel


@dataclass(frozen=True, slots=True)
class PromptText:
    """How a model's tokenizer reads that part of one task's prompt.

    All raise `EngineError` where a text is not Unicode.
    """

    model: LlamaModel
    task: Task
    prompt: LabelPrompt

    def of(self, text: str) -> list[int]:
        """The tokens of a record's text, with what leads to it."""
        return self.model.tokenize(self.prompt.lead + text, special=False)

    def before(self, found: Found) -> list[int]:
        """The tokens of what is shown before the text; the prompt must be one for retrieval."""
        if not found:
            return []
        return self.model.tokenize(shown_before(self.task, self.prompt, found), special=False)

    def fit(self, found: Found, most: int) -> Found:
        """What takes at most so many tokens, the farthest left out first."""
        while found and len(self.before(found)) > most:
            found = found.without_farthest()
        return found
