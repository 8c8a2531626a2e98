"""Measure how fast local models write: tokens a second of one thread, in free text and under a schema.

    python -m tools.measure_writing [--tokens 48]

Prints a line for each of the two models that install as packages, in the form that suits it: the median over
four short reviews, twice, of the answer's tokens by all seconds, those for reading the review included.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from router.answer_prompt import build_answer_prompt
from router.job import Task
from tests.models import GEMMA, SMOLLM2, real_model
from transforms.label_scorer import ScorerConfig
from transforms.text_generator import TextGenerator

_SCHEMA = {
    "type": "object",
    "properties": {
        "product": {"type": "string"},
        "mood": {"enum": ["good", "bad"]},
        "stars": {"type": ["integer", "null"]},
        "words": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
}
_REVIEWS = (
    "The kettle broke after a day. One star.",
    'A "great" toaster!\nI love it: 5 stars.',
    "充电器很好用。",
    "The blender is loud but it works well and I use it every day, the jar is hard to clean.",
)


def rate(package: str, form: str, keys: dict[str, Any]) -> float:
    """Tokens a second of a model."""
    model = real_model(package)
    data = {"name": "t", "kind": "generate", "instruction": "Describe the review.", **keys}
    task = Task.model_validate(data)
    bos, eos = model.token_text("bos"), model.token_text("eos")
    prompt = build_answer_prompt(task, form, chat_template=model.chat_template, bos=bos, eos=eos)
    generator = TextGenerator(model, task, prompt, ScorerConfig())
    generator.generate(_REVIEWS[0])
    used = [generator.generate(text)[1] for _ in range(2) for text in _REVIEWS]
    generator.close()
    return statistics.median(one.output_tokens / one.seconds for one in used)


def main() -> None:
    """Measure both models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tokens", type=int, default=48, help="the bound of an answer")
    arguments = parser.parse_args()
    for package, form in ((SMOLLM2, "chat"), (GEMMA, "plain")):
        for name, keys in (("free text", {}), ("schema", {"schema": _SCHEMA})):
            found = rate(package, form, {"max_tokens": arguments.tokens, **keys})
            print(f"{package}, {form}, {name}: {found:.1f} tokens/s", flush=True)  # noqa: T201 - its output


if __name__ == "__main__":
    main()
