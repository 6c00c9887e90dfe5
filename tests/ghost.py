"""Sparse GGUF files for tests: a full header, the full size, and no weights."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

SCALARS = {
    "u8": (0, "B"), "i8": (1, "b"), "u16": (2, "H"), "i16": (3, "h"), "u32": (4, "I"), "i32": (5, "i"),
    "f32": (6, "f"), "bool": (7, "?"), "u64": (10, "Q"), "i64": (11, "q"), "f64": (12, "d"),
}  # fmt: skip
TYPES = {
    "F32": (0, 1, 4), "F16": (1, 1, 2), "Q4_0": (2, 32, 18), "Q4_1": (3, 32, 20), "Q5_0": (6, 32, 22),
    "Q5_1": (7, 32, 24), "Q8_0": (8, 32, 34), "Q2_K": (10, 256, 84), "Q3_K": (11, 256, 110),
    "Q4_K": (12, 256, 144), "Q5_K": (13, 256, 176), "Q6_K": (14, 256, 210), "IQ2_XXS": (16, 256, 66),
    "IQ2_XS": (17, 256, 74), "IQ3_XXS": (18, 256, 98), "IQ1_S": (19, 256, 50), "IQ4_NL": (20, 32, 18),
    "IQ3_S": (21, 256, 110), "IQ2_S": (22, 256, 82), "IQ4_XS": (23, 256, 136), "I8": (24, 1, 1),
    "I16": (25, 1, 2), "I32": (26, 1, 4), "I64": (27, 1, 8), "F64": (28, 1, 8), "IQ1_M": (29, 256, 56),
    "BF16": (30, 1, 2), "TQ1_0": (34, 256, 54), "TQ2_0": (35, 256, 66), "MXFP4": (39, 32, 17),
    "NVFP4": (40, 64, 36), "Q1_0": (41, 128, 18), "Q2_0": (42, 64, 18),
}  # fmt: skip
"""Type number, elements per block, bytes per block."""

Spec = dict[str, Any]
"""`{"metadata": {key: [type, value]}, "tensors": [[name, [dims], type], ...]}`; array types are `arr:u32`."""


def string(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def value(kind: str, content: Any) -> bytes:
    """A metadata value: its type number and its bytes."""
    if kind == "str":
        return struct.pack("<I", 8) + string(content)
    if kind == "arr:str":
        return struct.pack("<IIQ", 9, 8, len(content)) + b"".join(map(string, content))
    if kind.startswith("arr:"):
        number, code = SCALARS[kind[4:]]
        return struct.pack("<IIQ", 9, number, len(content)) + struct.pack(f"<{len(content)}{code}", *content)
    number, code = SCALARS[kind]
    return struct.pack(f"<I{code}", number, content)


def tensor_bytes(dims: list[int], kind: str) -> int:
    _, block_elems, block_bytes = TYPES[kind]
    n_elems = 1
    for n in dims:
        n_elems *= n
    return n_elems // block_elems * block_bytes


def add_vocabulary(metadata: dict[str, Any], n_tokens: int) -> dict[str, Any]:
    """`metadata` with a made-up tokenizer of `n_tokens` tokens and as many merges."""
    return metadata | {
        "tokenizer.ggml.model": ["str", "gpt2"],
        "tokenizer.ggml.pre": ["str", "llama-bpe"],
        "tokenizer.ggml.tokens": ["arr:str", [f"tok{i}" for i in range(n_tokens)]],
        "tokenizer.ggml.token_type": ["arr:i32", [1] * n_tokens],
        "tokenizer.ggml.merges": ["arr:str", [f"a{i} b{i}" for i in range(n_tokens)]],
    }


def header_bytes(spec: Spec, *, vocab: int = 0, version: int = 3, pad: bool = True) -> bytes:
    """The header of `spec`, up to the start of the tensor data."""
    metadata = add_vocabulary(spec["metadata"], vocab) if vocab else spec["metadata"]
    alignment = metadata.get("general.alignment", ["u32", 32])[1]
    table, offset = [], 0
    for name, dims, kind in spec["tensors"]:
        shape = struct.pack(f"<I{len(dims)}q", len(dims), *dims)
        table.append(string(name) + shape + struct.pack("<iQ", TYPES[kind][0], offset))
        offset += -(-tensor_bytes(dims, kind) // alignment) * alignment
    pairs = [string(key) + value(*entry) for key, entry in metadata.items()]
    head = b"GGUF" + struct.pack("<IQQ", version, len(table), len(pairs)) + b"".join(pairs) + b"".join(table)
    return head + b"\0" * (-len(head) % alignment) if pad and table else head


def data_bytes(spec: Spec) -> int:
    """Bytes of tensor data, every tensor padded."""
    alignment = spec["metadata"].get("general.alignment", ["u32", 32])[1]
    sizes = [tensor_bytes(dims, kind) for _, dims, kind in spec["tensors"]]
    return sum(-(-size // alignment) * alignment for size in sizes)


def write_ghost(spec: Spec, path: Path | str, vocab: int = 0, *, version: int = 3) -> Path:
    """Write `spec` to `path` at its real size, as a hole after the header."""
    head = header_bytes(spec, vocab=vocab, version=version)
    path = Path(path)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + data_bytes(spec))
    return path


def write_split(specs: list[Spec], folder: Path, stem: str = "model") -> list[Path]:
    """Write one shard per spec, each with the keys that llama-gguf-split writes; the shards, in order."""
    n_tensors = sum(len(spec["tensors"]) for spec in specs)
    paths = []
    for i, spec in enumerate(specs):
        split = {
            "split.no": ["u16", i],
            "split.count": ["u16", len(specs)],
            "split.tensors.count": ["i32", n_tensors],
        }
        path = folder / f"{stem}-{i + 1:05d}-of-{len(specs):05d}.gguf"
        paths.append(write_ghost({**spec, "metadata": {**spec["metadata"], **split}}, path))
    return paths
