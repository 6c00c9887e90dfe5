"""Names of quantisations, and the bits per weight that they really take."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from budget.errors import UsageError
from budget.gguf.types import BY_NAME, GGMLType
from budget.nearest import did_you_mean, nearest

_README = "measured on Llama-3.1-8B (llama.cpp, tools/quantize/README.md)"
_MEASURED = {
    "IQ1_S": "2.0042", "IQ1_M": "2.1460", "IQ2_XXS": "2.3824", "IQ2_XS": "2.5882", "IQ2_S": "2.7403",
    "IQ2_M": "2.9294", "IQ3_XXS": "3.2548", "IQ3_XS": "3.4977", "IQ3_S": "3.6606", "IQ3_M": "3.7628",
    "IQ4_XS": "4.4597", "IQ4_NL": "4.6818", "Q2_K_S": "2.9697", "Q2_K": "3.1593", "Q3_K_S": "3.6429",
    "Q3_K_M": "3.9960", "Q3_K_L": "4.2979", "Q4_K_S": "4.6672", "Q4_K_M": "4.8944", "Q5_K_S": "5.5704",
    "Q5_K_M": "5.7036", "Q6_K": "6.5633", "Q8_0": "8.5008", "F16": "16.0005",
}  # fmt: skip
"""Bits per weight of whole files, mixes and f32 tensors included; tools/quantize/README.md."""
_ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}
"""tools/quantize/quantize.cpp."""
_ONE_TYPE = ("Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""File types of one type, but for the output matrix in q6_K (llama-quant.cpp, `llama_tensor_get_type`)."""
_USUAL = ("Q4_K_M", "Q4_0", "Q4_K_S", "Q5_K_M", "Q5_0", "Q3_K_M", "Q2_K", "Q6_K", "Q8_0")
"""What people mean by the start of a name."""
_PARAMS, _OUTPUT, _F32 = 8_030_261_248, 128256 * 4096, (2 * 32 + 1) * 4096
"""Llama-3.1-8B: weights, those of its output matrix, and those of its norms, which stay f32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quant:
    """A quantisation by name."""

    name: str
    bits_per_weight: Fraction
    basis: str
    """Where the figure comes from, in one phrase."""


def type_bits(type_: GGMLType) -> Fraction:
    """Bits per element of a ggml type: its block's bytes over the block's elements, scales included."""
    return Fraction(8 * type_.block_bytes, type_.block_elems)


def quant_named(name: str) -> Quant:
    """The quantisation of a whole file called `name`, such as `Q4_K_M`; letter case does not matter.

    A mix has other bits in every architecture: the figure is Llama-3.1-8B's, and embeddings weigh more in small
    models.

    Raises:
        UsageError: no such quantisation; the hint lists near ones.
    """
    upper = name.strip().upper()
    upper = _ALIASES.get(upper, upper)
    if upper in _MEASURED:
        return Quant(name=upper, bits_per_weight=Fraction(_MEASURED[upper]), basis=_README)
    types = {t.upper(): BY_NAME[t] for t in BY_NAME}
    if upper not in types or (upper.startswith("I") and upper[1:].isdigit()):
        raise UsageError(f"--quant {name}: no such quantisation", hint=_hint(upper, types))
    bits = type_bits(types[upper])
    if upper in _ONE_TYPE:
        output = type_bits(BY_NAME["q6_K"])
        mixed = (bits * (_PARAMS - _OUTPUT - _F32) + output * _OUTPUT + 32 * _F32) / _PARAMS
        return Quant(name=upper, bits_per_weight=mixed, basis="its type, the output in q6_K, of Llama-3.1-8B")
    type_ = types[upper]
    return Quant(
        name=upper,
        bits_per_weight=bits,
        basis=f"ggml's block alone: {type_.block_bytes} bytes for {type_.block_elems} weights",
    )


def _hint(name: str, types: dict[str, GGMLType]) -> str:
    known = tuple(dict.fromkeys([*_MEASURED, *_ONE_TYPE, *types]))
    begun = sorted(
        (k for k in known if k.startswith(name)),
        key=lambda k: _USUAL.index(k) if k in _USUAL else 99 + known.index(k),
    )
    near = begun[:3] or nearest(name, known, n=3)
    return did_you_mean(near, "the usual ones are Q4_K_M, Q8_0 and F16; --bpw takes any other")
