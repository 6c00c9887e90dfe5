"""What a header says, as data and as a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from budget.memory.tensor_ops import block_index
from budget.model.facts import Model
from budget.render.json import ENGINE
from budget.render.screen import GAP, Block, Table
from budget.render.words import runs_text
from budget.units import counted, format_count, format_size

if TYPE_CHECKING:
    from budget.planning.described import Described


NOT_KNOWN = "not known"


def inspect_object(
    model: Model, *, path: str, file_bytes: int | None, described: Described | None = None
) -> dict[str, Any]:
    """`budget/inspect/v1`; of a model described by numbers, what was not said is null."""
    found = _read_object(model, path=path, file_bytes=file_bytes)
    return found if described is None else found | _said(described)


def _said(described: Described) -> dict[str, Any]:
    """What `described` says in place of a header, None where it says nothing."""
    layers = described.n_layer
    with_kv = layers if described.n_layer_kv is None else described.n_layer_kv
    heads = described.n_head_kv
    is_said = layers is not None and with_kv is not None and heads is not None
    unread = (
        "gguf_version",
        "n_layer_nextn",
        "n_embd",
        "n_head",
        "is_mla",
        "n_expert",
        "n_expert_used",
        "n_tensors",
    )
    return {
        **dict.fromkeys(unread),
        "n_layer": layers,
        "n_head_kv": [heads if il < (with_kv or 0) else 0 for il in range(layers or 0)] if is_said else None,
        "n_embd_head_k": described.head_dim,
        "n_embd_head_v": described.head_dim,
        "tensor_bytes": described.weights_bytes,
    }


def _read_object(model: Model, *, path: str, file_bytes: int | None) -> dict[str, Any]:
    arch = model.arch
    by_type: dict[str, list[int]] = {}
    by_layer: dict[int | None, list[int]] = {}
    for tensor in model.tensors:
        layer = block_index(tensor.name)
        for count in (by_type.setdefault(tensor.type.name, [0, 0]), by_layer.setdefault(layer, [0, 0])):
            count[0] += 1
            count[1] += tensor.nbytes
    name = model.header.metadata.get("general.name")
    return {
        "schema": "budget/inspect/v1",
        "engine": ENGINE,
        "path": path,
        "file_bytes": file_bytes,
        "gguf_version": model.header.version,
        "name": None if name is None else name.value,
        "architecture": model.architecture,
        "known": arch is not None,
        "memory": arch.memory if arch else None,
        "n_ctx_train": model.n_ctx_train or None,
        "n_layer": model.n_layer,
        "n_layer_nextn": model.n_layer_nextn,
        "n_embd": model.n_embd,
        "n_vocab": model.n_vocab,
        "n_head": list(model.n_head),
        "n_head_kv": list(model.n_head_kv),
        "n_embd_head_k": model.n_embd_head_k,
        "n_embd_head_v": model.n_embd_head_v,
        "n_swa": model.n_swa or None,
        "swa_layers": [il for il, windowed in enumerate(model.is_swa) if windowed],
        "recurrent_layers": [il for il, recurrent in enumerate(model.is_recurrent) if recurrent],
        "is_mla": model.is_mla,
        "n_expert": model.n_expert,
        "n_expert_used": model.n_expert_used,
        "n_tensors": len(model.tensors),
        "tensor_bytes": sum(t.nbytes for t in model.tensors),
        "types": [
            {"type": t, "n_tensors": n, "tensor_bytes": size}
            for t, (n, size) in sorted(by_type.items(), key=lambda item: -item[1][1])
        ],
        "layers": [
            {"layer": il, "n_tensors": n, "tensor_bytes": size}
            for il, (n, size) in sorted(by_layer.items(), key=lambda item: -1 if item[0] is None else item[0])
        ],
    }


def inspect_screen(data: dict[str, Any]) -> list[Block]:
    """The object above as a screen."""
    facts = Table((), _facts(data), left=(0, 1), wrap=1)
    if not data["types"]:
        return [facts]
    return [
        facts,
        GAP,
        Table(["type", "tensors", "size"], _types(data)),
        GAP,
        Table(["tensors each", "size each", "layers"], _layer_rows(data), left=(2,), wrap=2),
    ]


def _facts(data: dict[str, Any]) -> list[tuple[str, str]]:
    """What there is to say, and what it is."""
    facts = [
        ("model", data["name"] or data["path"]),
        ("architecture", data["architecture"] + ("" if data["known"] else " (not known to budget)")),
        ("trained context", NOT_KNOWN if data["n_ctx_train"] is None else format_count(data["n_ctx_train"])),
        (
            "layers",
            _shown(data["n_layer"]) + (f" + {data['n_layer_nextn']} nextn" if data["n_layer_nextn"] else ""),
        ),
        ("embedding", _shown(data["n_embd"])),
        ("vocabulary", _shown(data["n_vocab"] or None)),
        ("heads, K/V heads", _pair(_span(data["n_head"]), _span(data["n_head_kv"]))),
        ("head size K, V", _pair(data["n_embd_head_k"], data["n_embd_head_v"])),
    ]
    if data["n_swa"]:
        facts.append(
            (
                "sliding window",
                f"{format_count(data['n_swa'])} tokens on {counted(len(data['swa_layers']), 'layer')}",
            )
        )
    if data["recurrent_layers"]:
        facts.append(("recurrent layers", str(len(data["recurrent_layers"]))))
    if data["is_mla"]:
        facts.append(("attention", "MLA: V lives inside K"))
    if data["n_expert"]:
        facts.append(("experts, used", f"{data['n_expert']}, {data['n_expert_used']}"))
    if data["n_tensors"] is None:
        facts.append(("weights", format_size(data["tensor_bytes"])))
    else:
        facts.append(("tensors", f"{data['n_tensors']}, {format_size(data['tensor_bytes'])}"))
    return facts


def _shown(value: object) -> str:
    return NOT_KNOWN if value is None else format_count(value) if isinstance(value, int) else str(value)


def _pair(a: object, b: object) -> str:
    return NOT_KNOWN if a is None and b is None else f"{_shown(a)}, {_shown(b)}"


def _types(data: dict[str, Any]) -> list[list[str]]:
    return [[t["type"], str(t["n_tensors"]), format_size(t["tensor_bytes"])] for t in data["types"]]


def _layer_rows(data: dict[str, Any]) -> list[list[str]]:
    """A row for the layers of each size, and one for what is in no layer."""
    alike: dict[tuple[bool, int, int], list[int | None]] = {}
    for row in data["layers"]:
        key = (row["layer"] is None, row["n_tensors"], row["tensor_bytes"])
        alike.setdefault(key, []).append(row["layer"])
    return [[str(n), format_size(size), _layers(layers)] for (_, n, size), layers in alike.items()]


def _span(values: list[int] | None) -> str | None:
    if not values:
        return None
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _layers(layers: list[int | None]) -> str:
    """`0-6, 9, 12`."""
    return runs_text([il for il in layers if il is not None]) or "outside blocks"
