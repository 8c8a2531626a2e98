"""What writing an answer needs of llama.cpp: grammars of JSON Schemas, ends of answers, and tokens as text.

A part of the adapter, like `transforms.llama_adapter`.
"""

from __future__ import annotations

import ctypes
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.llama_library import freed_with, library, log_tail

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
_PIECE_BYTES = 64
_CHARACTER = re.compile(r"^char ::= .*$", re.MULTILINE)
_SAID = ("title", "description", "$schema")
_STRICT_CHARACTER = (
    r'char ::= [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F] [0-9a-fA-F])'
)
"""The bindings' own rule lets control characters into strings, which JSON does not."""


class GrammarError(ValueError):
    """llama.cpp makes no grammar of a schema."""


def unfolded(node: Mapping[str, Any]) -> dict[str, Any]:
    """A schema with a list of types as alternatives, each with all that the schema says of it.

    The bindings' converter forgets properties and items where there are several types, and the type where
    there is an enumeration.
    """
    found = {key: node[key] for key in node if key not in _SAID}
    if "properties" in found:
        found["properties"] = {name: unfolded(one) for name, one in found["properties"].items()}
    if "items" in found:
        found["items"] = unfolded(found["items"])
    if "anyOf" in found:
        return {"anyOf": [unfolded(one) for one in found["anyOf"]]}
    if "enum" in found:
        return {"enum": found["enum"]}
    if isinstance(found.get("type"), list):
        return {"anyOf": [_of_type(found, name) for name in found["type"]]}
    return found


def _of_type(node: Mapping[str, Any], name: str) -> dict[str, Any]:
    kept = {
        "object": ("properties", "required", "additionalProperties"),
        "array": ("items", "minItems", "maxItems"),
    }
    return {"type": name, **{key: node[key] for key in kept.get(name, ()) if key in node}}


def schema_grammar(schema: Mapping[str, Any]) -> str:
    """llama.cpp's grammar of a JSON Schema, in its notation. Raises `GrammarError` where there is none."""
    library()
    from llama_cpp.llama_grammar import json_schema_to_gbnf  # noqa: PLC0415 - see `library`

    try:
        grammar: str = json_schema_to_gbnf(json.dumps(unfolded(schema)))
    # The bindings' converter raises whatever an unforeseen schema leads it to.
    except Exception as error:
        raise GrammarError(
            f"llama.cpp makes no grammar of the schema ({type(error).__name__}: {error})"
        ) from error
    return _CHARACTER.sub(lambda _: _STRICT_CHARACTER, grammar)


class Grammar:
    """A grammar and how far an answer has come in it."""

    def __init__(self, vocabulary: Any, text: str) -> None:  # noqa: ANN401 - C
        """Use `Tokens.grammar`."""
        self._c = library()
        log_tail().last()
        self._pristine = self._c.llama_sampler_init_grammar(vocabulary, text.encode(), b"root")
        if not self._pristine:
            raise GrammarError(f"llama.cpp refuses the grammar of the schema ({log_tail().last()})")
        self._state = self._c.llama_sampler_clone(self._pristine)
        self._free_pristine = freed_with(self, self._c.llama_sampler_free, self._pristine)
        self._free_state = freed_with(self, self._c.llama_sampler_free, self._state)

    def restart(self) -> None:
        """Begin a new answer."""
        self._free_state()
        self._state = self._c.llama_sampler_clone(self._pristine)
        self._free_state = freed_with(self, self._c.llama_sampler_free, self._state)

    def allowed(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the tokens may come next, shape (tokens,)."""
        c, candidates = self._c, np.zeros(len(tokens), _CANDIDATE)
        candidates["id"] = tokens
        pointer = candidates.ctypes.data_as(ctypes.POINTER(c.llama_token_data))
        array = c.llama_token_data_array(data=pointer, size=len(tokens), selected=-1, sorted=False)
        c.llama_sampler_apply(self._state, ctypes.byref(array))
        # Nothing was sorted or taken away: what is not allowed has a logit of minus infinity.
        return np.asarray(np.isfinite(candidates["logit"]))

    def accept(self, token: int) -> None:
        """Go on by a token, which must be allowed: llama.cpp ends the process otherwise."""
        self._c.llama_sampler_accept(self._state, token)


class Tokens:
    """What a model's tokens are."""

    def __init__(self, vocabulary: Any) -> None:  # noqa: ANN401 - C
        """Use `LlamaModel.tokens`; it must outlive this."""
        self._c = library()
        self._vocabulary = vocabulary

    def ends(self, token: int) -> bool:
        """Whether a token ends an answer."""
        return bool(self._c.llama_vocab_is_eog(self._vocabulary, token))

    def end_tokens(self, count: int) -> npt.NDArray[np.int64]:
        """All tokens, of `count`, that end an answer."""
        return np.array([token for token in range(count) if self.ends(token)], np.int64)

    def piece(self, token: int) -> bytes:
        """The bytes of a token; a special one has none. Several may make up a character."""
        size = _PIECE_BYTES
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = self._c.llama_token_to_piece(self._vocabulary, token, buffer, size, 0, False)  # noqa: FBT003 - C
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def grammar(self, schema: Mapping[str, Any]) -> Grammar:
        """The grammar of a JSON Schema. Raises `GrammarError` where llama.cpp has none."""
        return Grammar(self._vocabulary, schema_grammar(schema))
