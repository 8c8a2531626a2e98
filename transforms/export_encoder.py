"""A Hugging Face encoder as the ONNX file that the router runs: needs PyTorch (the extra `encoders`)."""

from __future__ import annotations

import importlib.util
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transforms.activation_ranges import measure_ranges
from transforms.model_files import file_digest
from transforms.quantize_rows import quantize_rows
from transforms.shipped_rows import shipped_rows
from transforms.strip_onnx import strip_traces
from transforms.text_encoder import EncoderCard, Reading, load_tokenizer, write_card

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEEDED = ("torch", "onnx", "onnxscript")
_OPSET = 20
_SAMPLES = 600
"""Texts on which the ranges of the activations are measured: about 20,000 tokens of 12 languages."""
MAX_TOKENS, TAIL_TOKENS = 128, 40
"""A vector of 128 tokens takes a few milliseconds; a prompt's request is often its last sentence."""


class EncoderExportError(ValueError):
    """An encoder cannot be exported; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedEncoder:
    """An encoder in PyTorch."""

    name: str
    model: Any
    tokenizer: Any
    pooling: str
    """What stands for a text: the `mean` of its tokens, or its first one (`cls`)."""
    reading: Reading


def export_encoder(name: str, folder: Path, *, prefix: str = "") -> EncoderCard:
    """Export an encoder into a folder: `model.onnx`, `tokenizer.json`, `encoder.json`.

    Args:
        name: A repository of the Hugging Face Hub, or a folder with the same files.
        folder: Where to write; made where it is missing.
        prefix: What the encoder wants before each text, such as "query: " for E5.

    Raises:
        EncoderExportError: PyTorch is missing, or `name` is no encoder that `transformers` can load.
    """
    return write_encoder(load_encoder(name, prefix=prefix), folder, origin=f"exported from {name}")


def load_encoder(name: str, *, prefix: str = "", doing: str = "exporting") -> LoadedEncoder:
    """An encoder by name or folder. Raises `EncoderExportError` as `export_encoder` does."""
    missing = [one for one in _NEEDED if importlib.util.find_spec(one) is None]
    if missing:
        raise EncoderExportError(
            f"{doing} {name!r} needs {', '.join(missing)}, which are not installed: "
            "pip install 'tekizai[encoders]' (PyTorch: several GB)"
        )
    from transformers import AutoTokenizer  # noqa: PLC0415 - takes seconds to import

    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = _load(name)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0]
        raise EncoderExportError(
            f"{name!r} cannot be loaded as an encoder ({first}); give the name of a Hugging Face repository, "
            "or a folder with config.json, model.safetensors and tokenizer.json"
        ) from error
    if not getattr(tokenizer, "is_fast", False):
        raise EncoderExportError(f"{name!r} has no fast tokenizer (tokenizer.json); choose another encoder")
    reading = Reading(max_tokens=MAX_TOKENS, tail_tokens=TAIL_TOKENS, prefix=prefix)
    return LoadedEncoder(name, model, tokenizer, _pooling(name), reading)


def write_encoder(encoder: LoadedEncoder, folder: Path, *, origin: str) -> EncoderCard:
    """Write the files of an encoder, its weights and activations as 8-bit integers, and return its card."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    path = folder / "model.onnx"
    _write_model(encoder, path)
    _quantize(path, load_tokenizer(folder), encoder.reading)
    card = EncoderCard(
        name=encoder.name,
        licence="that of the encoder",
        origin=origin,
        model_sha256=file_digest(path),
        tokenizer_sha256=file_digest(folder / "tokenizer.json"),
        dimensions=encoder.model.config.hidden_size,
        **encoder.reading.model_dump(),
    )
    write_card(folder, card)
    return card


def _load(name: str) -> Any:  # noqa: ANN401 - whatever class the encoder has
    import torch  # noqa: PLC0415 - belongs to the extra
    from transformers import AutoModel  # noqa: PLC0415 - see above

    # The fused attentions are not exported everywhere.
    return AutoModel.from_pretrained(
        name, dtype=torch.float32, attn_implementation="eager", use_safetensors=True
    ).eval()


def _pooling(name: str) -> str:
    """`cls` where the encoder's own settings say so (sentence-transformers' 1_Pooling), else `mean`."""
    settings: Mapping[str, Any] = {}
    local = Path(name) / "1_Pooling" / "config.json"
    if local.exists():
        settings = json.loads(local.read_text(encoding="utf-8"))
    elif not Path(name).exists():
        from transformers.utils.hub import cached_file  # noqa: PLC0415 - see above

        found = cached_file(name, "1_Pooling/config.json", _raise_exceptions_for_missing_entries=False)
        settings = json.loads(Path(found).read_text(encoding="utf-8")) if found else {}
    cls = settings.get("pooling_mode_cls_token") or settings.get("pooling_mode") == "cls"
    return "cls" if cls else "mean"


def _write_model(encoder: LoadedEncoder, path: Path) -> None:
    import torch  # noqa: PLC0415 - belongs to the extra

    model = encoder.model.eval()
    pooling = encoder.pooling

    class Pooled(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not always there
        """One vector of a text's tokens."""

        def __init__(self) -> None:
            super().__init__()
            self.encoder = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:  # noqa: ANN401 - tensors
            states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            return pool(states, attention_mask, pooling)

    sample = torch.full((2, 8), 5, dtype=torch.int64)
    shape = {0: "texts", 1: "tokens"}
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter warns of its own ways.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Pooled(),
            (sample, torch.ones_like(sample)),
            str(path),
            input_names=["input_ids", "attention_mask"],
            output_names=["text_vector"],
            dynamic_shapes={"input_ids": shape, "attention_mask": shape},
            opset_version=_OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )


def pool(states: Any, mask: Any, pooling: str) -> Any:  # noqa: ANN401 - tensors
    """One vector of a text's tokens: of the first (`cls`), or the mean of all."""
    if pooling == "cls":
        return states[:, 0]
    counted = mask.unsqueeze(-1).to(states.dtype)
    return (states * counted).sum(1) / counted.sum(1).clamp(min=1e-9)


def _quantize(path: Path, tokenizer: Any, reading: Reading) -> None:  # noqa: ANN401 - see `load_tokenizer`
    import onnx  # noqa: PLC0415 - belongs to the extra

    exported = onnx.load(str(path))
    texts = [text for head in ("task", "domain") for text, _ in shipped_rows(head)]
    samples = [reading.tokens(tokenizer, text) for text in texts[:: max(1, len(texts) // _SAMPLES)]]
    quantize_rows(exported, measure_ranges(exported, samples))
    exported.producer_name = ""
    strip_traces(exported)
    onnx.checker.check_model(exported)
    onnx.save(exported, str(path))
