"""The measured rows in tests/data, and the headers they were measured with."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from budget.gguf.header import Array, Header, TensorInfo, Value
from budget.gguf.types import TYPES
from budget.machine.device import Device, Host, Machine
from budget.model.facts import Model
from budget.model.read import read_model
from budget.runtime.settings import Settings

DATA = Path(__file__).parent / "data"
_BY_UPPER_NAME = {t.name.upper(): t for t in TYPES.values()}


def rows(name: str = "allocations") -> list[dict[str, Any]]:
    """Every measured row of one file."""
    with lzma.open(DATA / f"{name}.jsonl.xz", "rt") as f:
        return [json.loads(line) for line in f]


@cache
def specs() -> dict[str, Any]:
    """Header specs by name, such as `real/llama-3.1-8b`."""
    with lzma.open(DATA / "specs.json.xz", "rt") as f:
        return json.load(f)


def header(spec: dict[str, Any]) -> Header:
    """The header a file of this spec has."""
    metadata = {}
    for key, (kind, value) in spec["metadata"].items():
        if kind.startswith("arr:"):
            array = Array(element_type=kind[4:], length=len(value), values=tuple(value))
            metadata[key] = Value(type="array", value=array)
        else:
            metadata[key] = Value(type=kind, value=value)
    tensors, offset = [], 0
    for name, dims, kind in spec["tensors"]:
        type_ = _BY_UPPER_NAME[kind.upper()]
        ne = (*dims, *(1,) * (4 - len(dims)))
        tensors.append(TensorInfo(name, ne, len(dims), type_, offset, type_.tensor_bytes(ne)))
        offset += -(-tensors[-1].nbytes // 32) * 32
    return Header(version=3, alignment=32, metadata=metadata, tensors=tuple(tensors), data_offset=0)


@cache
def model(name: str) -> Model:
    """The model of one spec."""
    return read_model(header(specs()[name]))


def arguments(row: dict[str, Any]) -> list[str]:
    """The llama.cpp arguments that lead to the row's allocation."""
    if row["defaults"] != "llama-server --fit":
        return list(row["args"])
    arguments = ["--embedding"] if "--embedding" in row["args"] else []
    arguments += ["-c", str(row["n_ctx"])]
    if row["ngl"] >= 0:
        arguments += ["-ngl", str(row["ngl"])]
    shares = list(row.get("ts") or [])
    while shares and not shares[-1]:
        shares.pop()
    if len(shares) > 1:
        arguments += ["-ts", ",".join(f"{share:g}" for share in shares)]
    if row.get("ot"):
        arguments += ["-ot", ",".join(row["ot"])]
    return arguments


def settings(row: dict[str, Any]) -> Settings:
    """The row's settings, parsed as a llama.cpp line."""
    from budget.runtime.command_line import parse_command_line

    tool = "llama-cli" if row["defaults"] == "llama-cli" else "llama-server"
    return parse_command_line([tool, *arguments(row), "-lm", "none"], {}).settings


def machine(row: dict[str, Any]) -> Machine:
    """The machine the row was measured on: its devices as llama.cpp saw them."""
    return Machine(
        host=Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c")),
        devices=tuple(
            Device(
                name=d["name"], compute_capability="9.0", description="NVIDIA H200",
                total_bytes=d["total"], free_bytes=d["free"],
            )
            for d in row["devices"]
        ),
    )  # fmt: skip
