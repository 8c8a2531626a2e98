"""Training all of an encoder on labelled texts, with PyTorch (the extra `encoders`)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.export_encoder import pool
from transforms.training_steps import batches_by_length, rate_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from transforms.export_encoder import LoadedEncoder

EPOCHS = 4
_RATE, _HEAD_RATE = 8e-5, 8e-4
_BATCH = 32
_SCALE = 10.0
"""Vectors of length 1 are this much longer for the linear layer, which else would learn too slowly."""
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class TuningRows:
    """Texts, each with the number of its label."""

    texts: Sequence[str]
    answers: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    labels: int


@dataclass(frozen=True, slots=True, eq=False)
class LinearLayer:
    """What was trained on top of the encoder: a linear map from its vectors of length 1 to logits."""

    weights: npt.NDArray[np.float32]
    """Shape (labels, dimensions)."""
    bias: npt.NDArray[np.float32]
    """Shape (labels,)."""

    def logits(self, vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Shape (texts, labels)."""
        return np.asarray(vectors @ self.weights.T + self.bias, np.float64)


def tune_encoder(
    encoder: LoadedEncoder, sets: Sequence[TuningRows], tell: Callable[[str], None]
) -> list[LinearLayer]:
    """Train an encoder in place to tell the labels of each set apart, and return the layers that do.

    The vectors of words stay as they are: most words are in no row. `tell` is given a line for each epoch.
    The same rows give nearly the same encoder; to the last bit only on the same machine.
    """
    import torch  # noqa: PLC0415 - belongs to the extra

    torch.manual_seed(_SEED)
    layers = [_layer(encoder.model.config.hidden_size, one.labels) for one in sets]
    tokenizer = encoder.tokenizer.backend_tokenizer
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ids = [[encoder.reading.tokens(tokenizer, text) for text in one.texts] for one in sets]
    places = [(number, at) for number, one in enumerate(ids) for at in range(len(one))]
    lengths = np.array([len(ids[number][at]) for number, at in places])
    trained, optimizer = _optimizer(encoder.model, layers)
    steps = EPOCHS * -(-len(places) // _BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps))
    chance = np.random.default_rng(_SEED)
    encoder.model.train()
    for epoch in range(EPOCHS):
        started, losses = time.monotonic(), []
        for batch in batches_by_length(lengths, _BATCH, chance):
            members = [places[at] for at in batch]
            vectors = _vectors(encoder, [ids[number][at] for number, at in members])
            loss = _loss(vectors, members, layers, sets)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        seconds = time.monotonic() - started
        tell(f"epoch {epoch + 1} of {EPOCHS}: loss {np.mean(losses):.3f}, {seconds:.0f} s")
    encoder.model.eval()
    return [_as_linear(one) for one in layers]


def _layer(dimensions: int, labels: int) -> Any:  # noqa: ANN401 - PyTorch is not always there
    import torch  # noqa: PLC0415 - see `tune_encoder`

    layer = torch.nn.Linear(dimensions, labels)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    return layer


def _as_linear(layer: Any) -> LinearLayer:  # noqa: ANN401 - see `_layer`
    weights = layer.weight.detach().numpy().astype(np.float32)
    return LinearLayer(weights * np.float32(_SCALE), layer.bias.detach().numpy().astype(np.float32))


def _optimizer(model: Any, layers: Sequence[Any]) -> tuple[list[Any], Any]:  # noqa: ANN401 - see `_layer`
    """What of the encoder is trained, and what trains it."""
    import torch  # noqa: PLC0415 - see `tune_encoder`

    for name, parameter in model.named_parameters():
        parameter.requires_grad_("word_embeddings" not in name)
    trained = [one for one in model.parameters() if one.requires_grad]
    heads = [parameter for layer in layers for parameter in layer.parameters()]
    groups = [{"params": trained, "lr": _RATE}, {"params": heads, "lr": _HEAD_RATE}]
    return trained, torch.optim.AdamW(groups)


def _vectors(encoder: LoadedEncoder, ids: Sequence[Sequence[int]]) -> Any:  # noqa: ANN401 - a tensor
    import torch  # noqa: PLC0415 - see `tune_encoder`

    tokens = torch.zeros((len(ids), max(map(len, ids))), dtype=torch.int64)
    mask = torch.zeros_like(tokens)
    for row, one in enumerate(ids):
        tokens[row, : len(one)] = torch.tensor(one)
        mask[row, : len(one)] = 1
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=_has_bfloat16()):
        states = encoder.model(input_ids=tokens, attention_mask=mask).last_hidden_state
    vectors = pool(states.float(), mask, encoder.pooling)
    return _SCALE * torch.nn.functional.normalize(vectors, dim=1)


def _loss(
    vectors: Any,  # noqa: ANN401 - a tensor
    members: Sequence[tuple[int, int]],
    layers: Sequence[Any],
    sets: Sequence[TuningRows],
) -> Any:  # noqa: ANN401 - a tensor
    """Cross-entropy of rows, each by its set's layer and with its weight."""
    import torch  # noqa: PLC0415 - see `tune_encoder`

    total, weight = torch.zeros(()), 0.0
    for number, (layer, rows) in enumerate(zip(layers, sets, strict=True)):
        here = [row for row, (of, _) in enumerate(members) if of == number]
        if not here:
            continue
        at = [members[row][1] for row in here]
        answers = torch.tensor(rows.answers[at])
        losses = torch.nn.functional.cross_entropy(layer(vectors[here]), answers, reduction="none")
        total = total + (losses * torch.tensor(rows.weights[at], dtype=torch.float32)).sum()
        weight += float(rows.weights[at].sum())
    return total / weight


def _has_bfloat16() -> bool:
    """Whether the processor multiplies them itself: half the time then, a multiple of it else."""
    import torch  # noqa: PLC0415 - see `tune_encoder`

    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001 - PyTorch has no other way to ask
