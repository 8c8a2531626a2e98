"""What other tools do: stock llama-cpp-python labels a text by generating the answer. Only benchmarks use it.

Both ways keep the cache of the text before, as the library does by itself: what begins alike, the
instruction, is not evaluated again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import llama_cpp
from llama_cpp.llama_grammar import LlamaGrammar

from transforms.llama_library import library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from router.job import Task
    from router.prompts import LabelPrompt, Segment

_CONTEXT = 2048
_CHAT_TOKENS = 32
_LABEL_TOKENS = 12


class _Counted(llama_cpp.Llama):
    """The library's own class, which also counts the tokens that it evaluates."""

    evaluated = 0

    def eval(self, tokens: Sequence[int]) -> None:
        """Evaluate the tokens as the library does."""
        self.evaluated += len(tokens)
        super().eval(tokens)


class StockLabeller:
    """A model behind the high-level API, with the same file, build and number of threads."""

    def __init__(self, path: str, task: Task, prompt: LabelPrompt, threads: int) -> None:
        """Load the weights; `prompt` is how the model is asked where no chat is wanted."""
        library()  # Loads it with this project's way of waiting for threads, the same for both sides.
        self._model = _Counted(
            path, n_ctx=_CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        self._schema = {
            "type": "object",
            "properties": {"label": {"enum": list(task.label_names)}},
            "required": ["label"],
        }
        self._question = f"{task.instruction} Answer with one of: {', '.join(task.label_names)}.\n\n"
        self._before, self._after = _text(prompt.beginning) + prompt.lead, _text(prompt.end)
        self._grammar = LlamaGrammar.from_string(_one_of([scored for _, scored in prompt.answers]))

    @property
    def evaluated(self) -> int:
        """Tokens evaluated so far."""
        return self._model.evaluated

    def chat(self, text: str) -> str:
        """The label of a text from a chat completion whose answer must be JSON of a schema."""
        answer: Any = self._model.create_chat_completion(
            [{"role": "user", "content": self._question + text}],
            response_format={"type": "json_object", "schema": self._schema},
            max_tokens=_CHAT_TOKENS,
            temperature=0.0,
        )
        return _label(answer["choices"][0]["message"]["content"])

    def complete(self, text: str) -> str:
        """The label of a text from a completion that a grammar bounds to the labels."""
        answer: Any = self._model.create_completion(
            self._before + text + self._after,
            grammar=self._grammar,
            max_tokens=_LABEL_TOKENS,
            temperature=0.0,
        )
        return str(answer["choices"][0]["text"]).strip()

    def close(self) -> None:
        """Free the weights and the cache."""
        self._model.close()


def _text(segments: Sequence[Segment]) -> str:
    return "".join(segment.text for segment in segments)


def _one_of(answers: Sequence[str]) -> str:
    """A grammar of the answers; JSON's strings are written as the grammar's are."""
    return "root ::= " + " | ".join(json.dumps(answer) for answer in answers)


def _label(content: str) -> str:
    """What the JSON says; empty where it was cut off."""
    try:
        return str(json.loads(content)["label"])
    except (ValueError, KeyError):
        return ""
