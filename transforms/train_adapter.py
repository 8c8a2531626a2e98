"""Training a LoRA adapter on the very weights of a GGUF model, with PyTorch and PEFT (the extra `train`)."""

from __future__ import annotations

import pathlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.training_steps import batches_by_length, rate_at
from transforms.write_adapter import Lora, LoraPair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from transforms.adapter_rows import TrainingText

_ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_TOLD = 10
"""After so many batches it is told how long one takes."""
_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How an adapter is trained."""

    rank: int = 8
    alpha: float = 16.0
    epochs: int = 2
    rate: float = 1e-3
    batch: int = 16
    threads: int = 1
    seed: int = 0


def load_weights(path: pathlib.Path) -> Any:  # noqa: ANN401 - PyTorch is not always there
    """A GGUF model as PyTorch's, its weights as 32-bit numbers; for the architectures transformers knows."""
    import torch  # noqa: PLC0415 - belongs to the extra
    from transformers import AutoModelForCausalLM, GgufConfig  # noqa: PLC0415 - likewise

    # Unpacked once: training goes through the weights again and again.
    whole = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, quantization_config=whole
    )
    # The output matrix is that of the embeddings, where the file has none.
    model.tie_weights()
    return model


def train_lora(
    weights: Any,  # noqa: ANN401 - see `load_weights`
    texts: Sequence[TrainingText],
    settings: LoraSettings,
    tell: Callable[[str], None],
) -> Any:  # noqa: ANN401 - PEFT's model
    """Put an adapter on the weights and train it to say the right label; `tell` is given some lines.

    The loss is what the scorer makes of an answer: its first token against the other labels' first tokens,
    and each later token against the whole vocabulary.
    """
    import peft  # noqa: PLC0415 - see `load_weights`
    import torch  # noqa: PLC0415 - see `load_weights`

    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    wanted = peft.LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, target_modules=list(_ADAPTED), task_type="CAUSAL_LM"
    )
    model = peft.get_peft_model(weights, wanted)
    model.train()
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=0.0)
    steps = settings.epochs * -(-len(texts) // settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps))
    chance = np.random.default_rng(settings.seed)
    for epoch in range(settings.epochs):
        started, losses = time.monotonic(), []
        for number, batch in enumerate(_batches(texts, settings.batch, chance), 1):
            loss = answer_loss(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            if number == _TOLD:
                tell(f"a batch of {settings.batch} takes {(time.monotonic() - started) / number:.1f} s")
        seconds = time.monotonic() - started
        tell(f"epoch {epoch + 1} of {settings.epochs}: loss {np.mean(losses):.3f}, {seconds:.0f} s")
    model.eval()
    return model


def _batches(
    texts: Sequence[TrainingText], size: int, chance: np.random.Generator
) -> Iterator[list[TrainingText]]:
    """Texts of about the same length together, in random order."""
    lengths = np.array([len(one.prompt) + len(one.answer) for one in texts])
    for places in batches_by_length(lengths, size, chance):
        yield [texts[one] for one in places]


def answer_loss(model: Any, batch: Sequence[TrainingText]) -> Any:  # noqa: ANN401 - a tensor
    """The mean loss of the answers; see `train_lora`."""
    import torch  # noqa: PLC0415 - see `load_weights`

    logits = answer_logits(model, batch)
    total = torch.zeros(())
    for row, one in zip(logits, batch, strict=True):
        # Filled up on the left, so answers end together; the last token's successor is nobody's question.
        said = row[-1 - len(one.answer) : -1].float()
        first = said[0, list(one.beside)]
        total = total - (first[one.beside.index(one.answer[0])] - first.logsumexp(0))
        for place, token in enumerate(one.answer[1:], 1):
            total = total - (said[place, token] - said[place].logsumexp(0))
    return total / len(batch)


def answer_logits(model: Any, batch: Sequence[TrainingText]) -> Any:  # noqa: ANN401 - a tensor
    """Logits before each answer's tokens and after its last, at the end of the rows.

    Shape (texts, longest answer + 1, vocabulary).
    """
    import torch  # noqa: PLC0415 - see `load_weights`

    rows = [(*one.prompt, *one.answer) for one in batch]
    longest = max(map(len, rows))
    tokens = torch.zeros((len(rows), longest), dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for number, row in enumerate(rows):
        tokens[number, longest - len(row) :] = torch.tensor(row)
        mask[number, longest - len(row) :] = 1
    places = (mask.cumsum(1) - 1).clamp(min=0)
    keep = 1 + max(len(one.answer) for one in batch)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=model.training and _has_bfloat16()):
        return model(
            input_ids=tokens, attention_mask=mask, position_ids=places, logits_to_keep=keep, use_cache=False
        ).logits


def _has_bfloat16() -> bool:
    """Whether the processor multiplies 16-bit numbers itself; elsewhere they are slower."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def as_lora(model: Any, alpha: float) -> Lora:  # noqa: ANN401 - PEFT's model
    """What was trained, under the names that the layers have in PyTorch."""
    found: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for name, value in model.state_dict().items():
        layer, _, kind = name.removeprefix(_PREFIX).partition(".lora_")
        if kind:
            found.setdefault(layer, {})[kind[0]] = value.detach().float().numpy()
    return Lora({layer: LoraPair(both["A"], both["B"]) for layer, both in found.items()}, alpha)
