"""Whole layouts of models at their published sizes, with the metadata that the converter writes.

`real_sizes.json.xz` holds headers (types as llama.cpp's quantiser mixes them) and what llama.cpp 0c1e570 allocated for
them: on the CPU, and on one to four devices that only count bytes, but support, size and fuse operations by
ggml-cuda's own rules for compute capability 9.0. With `-sm tensor` compute is what its fit
measures, and no figure claims to be exact.
"""

from __future__ import annotations

import json
import lzma

import pytest

import truth
from budget.machine.device import Device, Host, Machine
from budget.memory.layout import lay_out
from budget.model.read import read_model
from budget.runtime.command_line import parse_command_line
from memory.allocated import allocated

with lzma.open(truth.DATA / "real_sizes.json.xz", "rt") as f:
    DATA = json.load(f)
MODELS = sorted(DATA["specs"])


def machine(n_devices):
    """A host, and equal NVIDIA cards."""
    size = 139 << 30
    return Machine(
        host=Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c")),
        devices=tuple(
            Device(
                name=f"CUDA{i}",
                compute_capability="9.0",
                description="counts",
                total_bytes=size,
                free_bytes=size,
            )
            for i in range(n_devices)
        ),
    )


def planned(model, row):
    settings = parse_command_line([*row["line"].split(), "-lm", "none"], {}).settings
    accounting = "fit" if settings.split_mode == "tensor" else "real"
    layout = lay_out(model, settings, machine(row["n_devices"]), accounting=accounting)
    return allocated(layout)


@pytest.mark.parametrize("name", MODELS)
def test_every_buffer_is_the_size_that_llama_cpp_allocates(name):
    model = read_model(truth.header(DATA["specs"][name]))
    rows = [row for row in DATA["rows"] if row["model"] == name]
    assert rows
    for row in rows:
        basis = "formula" if "-sm tensor" in row["line"] else "exact"
        assert planned(model, row) == (row["buffers"], row["n_ctx"], {basis}), row["line"]
