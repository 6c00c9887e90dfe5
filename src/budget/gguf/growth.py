"""How long a header that was read in part will turn out to be: a guess that saves a remote reader requests.

A wrong guess costs a request or some bytes, never a wrong answer. Nearly all of a long header is the
vocabulary: token strings, one or two arrays of four bytes per token, and for BPE the merges, whose strings
are the token strings with a space in the middle. Vocabularies are sorted by age, so strings get longer
towards the end. Measured on the 19 vocabularies in llama.cpp's `models/` folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from budget.record import record

_TOKENS = "tokenizer.ggml.tokens"
_MERGES = "tokenizer.ggml.merges"
_PER_TOKEN = ("tokenizer.ggml.scores", "tokenizer.ggml.token_type")
_FOLLOW = {
    "gpt2": (_PER_TOKEN[1], _MERGES),
    "gemma4": (*_PER_TOKEN, _MERGES),
    "bert": (_PER_TOKEN[1],),
}
"""Arrays that follow the tokens, by `tokenizer.ggml.model` (gguf-py, `SpecialVocab` and the vocab writers)."""
_GROWTH_MOST = 0.12
"""Fastest growth believed; real vocabularies have 0.02 to 0.1 (exponent of the mean length in the number read)."""
_GROWTH_MERGES = 0.02
"""Added for merges, the last long array, where too little costs a request."""
_MARGIN = 0.06
"""Added to what is left of an array, since one more request costs more than these bytes."""
_TENSOR_BYTES = 80
"""A row of the tensor table: 8 + name of 25 + 4 + 2 * 8 + 4 + 8, and some more for long names."""
_REST_BYTES = 32 * 1024
"""Chat template, special tokens and other short keys."""


@record(kw_only=False)
class Strings:
    """An array of strings that was read in part, or whole."""

    key: str
    n: int
    """Strings in the array."""
    n_read: int
    read_bytes: int
    """Bytes of the strings read, with their lengths."""
    n_half: int = 0
    """Some number of strings at the start, about half of those read."""
    half_bytes: int = 0
    """Bytes of those."""

    def likely_bytes(self) -> int:
        """Bytes of the whole array, if strings go on to get longer as they did up to here."""
        if not self.n_read:
            return 16 * self.n
        growth = _GROWTH_MERGES if self.key == _MERGES else 0.0
        if 0 < self.n_half < self.n_read:
            longer = self.read_bytes / self.n_read / (self.half_bytes / self.n_half)
            growth += max(log(longer) / log(self.n_read / self.n_half), 0.0)
        growth = min(growth, _GROWTH_MOST)
        return int(self.read_bytes * self.n / self.n_read * (self.n / self.n_read) ** growth)


def likely_end(
    at: int, current: Strings | None, whole: Mapping[str, Strings], keys: Mapping[str, object], model: str,
    n_tensors: int,
) -> int:  # fmt: skip
    """Where the header probably ends, bytes from the start of the file.

    Args:
        at: position reached; everything before it was read.
        current: the array of strings that `at` lies in.
        whole: arrays of strings that were stepped over before.
        keys: metadata read so far.
        model: `tokenizer.ggml.model`.
        n_tensors: rows of the tensor table that are still to come.
    """
    end = at + _REST_BYTES + n_tensors * _TENSOR_BYTES
    if current is not None:
        left = max(current.likely_bytes() - current.read_bytes, 0)
        end += left + int(left * _MARGIN)
    tokens = current if current is not None and current.key == _TOKENS else whole.get(_TOKENS)
    if tokens is None:
        return end
    for key in _FOLLOW.get(model, _PER_TOKEN):
        if key in keys or (current is not None and current.key == key):
            continue
        end += tokens.likely_bytes() + tokens.n if key == _MERGES else 4 * tokens.n
    return end
