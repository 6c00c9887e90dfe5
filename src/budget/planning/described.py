"""Models described by numbers, for planning before there is a file. Every figure is an estimate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from budget.errors import UsageError
from budget.gguf.contents import Header
from budget.gguf.types import GGMLType
from budget.model.facts import Architecture, Model
from budget.model.limits import LLAMA_MAX_LAYERS
from budget.planning.quant import quant_named
from budget.units import MAX_BYTES, counted, parse_size

_COUNT = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[kKmMbBtT]?)\Z")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What a user says of a model that has no file."""

    weights_bytes: int
    weights_basis: str = "given"
    """How the weights are known, such as `8.2B weights of 4.85 bits`."""
    n_layer: int | None = None
    """Blocks; None splits over devices by their shares alone."""
    n_layer_kv: int | None = None
    """Blocks that hold K/V; None for all."""
    n_head_kv: int | None = None
    head_dim: int | None = None
    """Width of one K or V head, elements."""
    kv_bytes_per_token: int | None = None
    """K and V of all blocks, instead of the dimensions."""
    fixed_bytes: int = 0
    """Buffers that do not grow with the context, on the device of the output layer."""
    n_ctx_train: int | None = None
    """Trained context, tokens."""
    n_swa: int = 0
    """Sliding window, tokens; 0 without."""
    n_layer_swa: int = 0
    """Blocks of those with K/V that see only the window."""

    def __post_init__(self) -> None:
        """Refuse sizes that are none.

        Raises:
            UsageError: a negative or fractional size.
        """
        for name in ("weights_bytes", "kv_bytes_per_token", "fixed_bytes"):
            size = getattr(self, name)
            if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
                raise UsageError(f"{name} {size!r}: must be whole bytes from 0 on")
        for name in ("n_layer", "n_head_kv", "head_dim", "n_ctx_train"):
            n = getattr(self, name)
            if n is not None and n < 1:
                raise UsageError(f"{name} {n}: must be at least 1")
        if self.n_layer is not None and self.n_layer > LLAMA_MAX_LAYERS:
            raise UsageError(f"n_layer {self.n_layer}: llama.cpp takes at most {LLAMA_MAX_LAYERS}")

    def cache_bytes_per_token(self, type_k: GGMLType, type_v: GGMLType) -> int | None:
        """Bytes of K and V of all blocks for one token; None where it is not known.

        Raises:
            UsageError: a K or V row is not a whole number of blocks of its type.
        """
        if self.kv_bytes_per_token is not None:
            return self.kv_bytes_per_token
        layers = self.n_layer if self.n_layer_kv is None else self.n_layer_kv
        if layers is None or self.n_head_kv is None or self.head_dim is None:
            return None
        return kv_bytes_per_token(layers, self.n_head_kv, self.head_dim, type_k, type_v)


def kv_bytes_per_token(
    n_layer: int, n_head_kv: int, head_dim: int, type_k: GGMLType, type_v: GGMLType | None = None
) -> int:
    """Bytes of K and V for one token, in whole blocks of their types.

    Args:
        n_layer: layers with a cache.
        n_head_kv: K/V heads, not attention heads.
        head_dim: elements of one head.
        type_k: type of K.
        type_v: type of V; K's by default.

    Raises:
        UsageError: a size below 1, or a row that is not whole blocks.
    """
    for option, n in (("--layers", n_layer), ("--kv-heads", n_head_kv), ("--head-dim", head_dim)):
        if n < 1 and not (n == 0 and option == "--layers"):
            raise UsageError(f"{option} {n}: must be at least 1")
    width = n_head_kv * head_dim
    try:
        return n_layer * (type_k.row_bytes(width) + (type_v or type_k).row_bytes(width))
    except ValueError as e:
        raise UsageError(f"K/V of {n_head_kv} heads of {head_dim}: {e}", hint="use -ctk f16 -ctv f16") from e


def attending_layers(n_layer: int, interval: int, n_extra: int = 0) -> int:
    """Blocks with K/V in a hybrid model where one block in `interval` attends, and `n_extra` more beside them.

    An interval of 0 or 1 makes all attend.
    """
    return (n_layer // interval if interval > 1 else n_layer) + n_extra


def parse_params(text: str) -> int:
    """Weights meant by `8.2B`, `270M` or `8030261248` (K M B T are decimal).

    Raises:
        UsageError: anything else, quoted whole.
    """
    match = _COUNT.match(text.strip())
    if match is None:
        raise UsageError(f"--params {text!r}: not a number of weights", hint="such as 8.2B or 8030261248")
    return int(Fraction(match["number"]) * _UNITS[match["unit"].lower()])


def weights_bytes(n_params: int, bits_per_weight: Fraction | float | str) -> int:
    """Bytes of `n_params` weights of `bits_per_weight`, exactly, a fraction of a byte dropped.

    Raises:
        UsageError: bits that are negative or no number, or a size beyond 8 EiB.
    """
    try:
        bits = (
            Fraction(str(bits_per_weight)) if isinstance(bits_per_weight, str) else Fraction(bits_per_weight)
        )
    except (ValueError, OverflowError, ZeroDivisionError) as e:
        raise UsageError(f"--bpw {bits_per_weight}: not a number", hint="such as 4.85") from e
    size = int(n_params * bits / 8)
    if bits < 0 or n_params < 0:
        raise UsageError(f"{n_params} weights of {bits_per_weight} bits: neither can be negative")
    if size > MAX_BYTES:
        raise UsageError(f"{n_params} weights of {bits_per_weight} bits are more than 8 EiB")
    return size


def describe_model(
    *,
    params: str | None = None,
    bpw: str | None = None,
    quant: str | None = None,
    weights_bytes_text: str | None = None,
    n_layer: int | None = None,
    n_layer_kv: int | None = None,
    n_head_kv: int | None = None,
    head_dim: int | None = None,
    kv_bytes_per_token_text: str | None = None,
    fixed_bytes_text: str | None = None,
    n_ctx_train: int | None = None,
    n_swa: int = 0,
    n_layer_swa: int = 0,
) -> Described:
    """The model that the options describe, texts as the user wrote them.

    Raises:
        UsageError: too little or contradicting, or a value out of range; names the option.
    """
    for option, n in (
        ("--layers", n_layer), ("--kv-heads", n_head_kv), ("--head-dim", head_dim), ("--ctx-train", n_ctx_train),
    ):  # fmt: skip
        if n is not None and n < 1:
            raise UsageError(f"{option} {n}: must be at least 1")
    n_kv = n_layer if n_layer_kv is None else n_layer_kv
    if n_layer is not None and n_kv is not None and not 0 <= n_kv <= n_layer:
        raise UsageError(f"--kv-layers {n_kv}: it has {counted(n_layer, 'layer')}")
    if n_swa < 0 or n_layer_swa < 0 or (n_layer_swa and (not n_swa or n_kv is None or n_layer_swa > n_kv)):
        raise UsageError(
            f"--window {n_swa} --window-layers {n_layer_swa}: a window, and at most the layers with K/V"
        )
    if n_swa and not n_layer_swa:
        raise UsageError(f"--window {n_swa}: say how many layers have it", hint="add --window-layers")
    size, basis = _weights(params, bpw, quant, weights_bytes_text)
    return Described(
        weights_bytes=size,
        weights_basis=basis,
        n_layer=n_layer,
        n_layer_kv=n_layer_kv,
        n_head_kv=n_head_kv,
        head_dim=head_dim,
        kv_bytes_per_token=_size("--kv-bytes-per-token", kv_bytes_per_token_text),
        fixed_bytes=_size("--fixed-bytes", fixed_bytes_text) or 0,
        n_ctx_train=n_ctx_train,
        n_swa=n_swa,
        n_layer_swa=n_layer_swa,
    )


def _weights(params: str | None, bpw: str | None, quant: str | None, given: str | None) -> tuple[int, str]:
    if given is not None:
        if params is not None or bpw is not None or quant is not None:
            raise UsageError("--weights-bytes says it all: leave --params, --bpw and --quant away")
        return _size("--weights-bytes", given) or 0, "given"
    if params is None:
        raise UsageError(
            "the weights are missing", hint="give --params with --bpw or --quant, or --weights-bytes"
        )
    if (bpw is None) == (quant is None):
        both = ", not both" if bpw is not None else ""
        raise UsageError(f"--params {params} needs --bpw or --quant{both}", hint="such as --quant Q4_K_M")
    if bpw is not None:
        return weights_bytes(parse_params(params), bpw), f"{params} weights of {bpw} bits"
    found = quant_named(quant or "")
    bits = found.bits_per_weight
    return (
        weights_bytes(parse_params(params), bits),
        f"{params} weights of {float(bits):.4f} bits ({found.name}: {found.basis})",
    )


def _size(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_size(text)
    except UsageError as e:
        raise e.at(option) from e


def model_of(described: Described) -> Model:
    """A `Model` with the dimensions of `described` and no tensors, for everything that asks for one."""
    n_layer = described.n_layer or 1
    n_kv = n_layer if described.n_layer_kv is None else described.n_layer_kv
    head_dim, n_head_kv = described.head_dim or 0, described.n_head_kv or 0
    layers = range(n_layer)
    return Model(
        architecture="described",
        arch=Architecture(name="described", memory="kv"),
        assumed=True,
        header=Header(version=3, alignment=32, metadata={}, tensors=(), data_offset=0),
        n_ctx_train=described.n_ctx_train or 0,
        n_embd=0,
        n_vocab=None,
        n_layer_all=n_layer,
        n_layer_nextn=0,
        n_expert=0,
        n_expert_used=0,
        n_head=(n_head_kv,) * n_layer,
        n_head_kv=tuple(n_head_kv if il < n_kv else 0 for il in layers),
        n_ff=(0,) * n_layer,
        n_embd_head_k=head_dim,
        n_embd_head_v=head_dim,
        n_embd_head_k_swa=head_dim,
        n_embd_head_v_swa=head_dim,
        n_embd_out=0,
        n_swa=described.n_swa,
        swa_type="standard" if described.n_layer_swa else "none",
        is_swa=tuple(il < described.n_layer_swa for il in layers),
        is_recurrent=(False,) * n_layer,
        has_kv=tuple(il < n_kv for il in layers),
        is_mla=False,
        causal_attn=True,
        pooling="unspecified",
    )
