"""Settings drawn at random, near and beyond those of the measured rows, against llama.cpp 0c1e570.

`random_settings.json.xz` holds lines and what llama.cpp allocated for them: the fixture of every architecture, and
well-known models that no other row has, on the CPU and on one to four devices that only count bytes, but support, size
and fuse operations by ggml-cuda's own rules for compute capability 9.0. Rows with the accounting `fit` were loaded
without memory, the way llama.cpp's fit measures; those that are `refused` made no context or ended the process.
"""

from __future__ import annotations

import json
import lzma
from functools import cache

import pytest

import truth
from budget.errors import UsageError
from budget.machine.device import Device, Host, Machine
from budget.memory.layout import lay_out
from budget.model.read import read_model
from budget.runtime.command_line import parse_command_line
from memory.allocated import allocated

with lzma.open(truth.DATA / "random_settings.json.xz", "rt") as f:
    DATA = json.load(f)
MODELS = sorted({row["model"] for row in DATA["rows"]})


@cache
def model_of(name):
    return read_model(truth.header(DATA["specs"][name])) if name in DATA["specs"] else truth.model(name)


def machine(free):
    host = Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c"))
    devices = tuple(
        Device(name=f"CUDA{i}", compute_capability="9.0", total_bytes=size + (1 << 30), free_bytes=size)
        for i, size in enumerate(free)
    )
    return Machine(host=host, devices=devices)


def planned(row):
    settings = parse_command_line(row["line"].split(), {}).settings
    layout = lay_out(
        model_of(row["model"]), settings, machine(row.get("free", ())), accounting=row["accounting"]
    )
    return allocated(layout)


@pytest.mark.parametrize("name", MODELS)
def test_any_settings_take_what_llama_cpp_allocates_or_are_refused_as_it_refuses_them(name):
    for row in (row for row in DATA["rows"] if row["model"] == name):
        if row.get("refused"):
            with pytest.raises(UsageError):
                planned(row)
            continue
        basis = "formula" if "-sm tensor" in row["line"] else "exact"
        found = planned(row)
        if basis == "formula":
            assert found[:2] == (row["buffers"], row["n_ctx"]), row["line"]
            assert found[2] == {"formula"}, row["line"]
        else:
            assert found == (row["buffers"], row["n_ctx"], {basis}), row["line"]


def test_the_rows_cover_every_fixture_that_llama_cpp_loads():
    toys = {name for name in truth.specs() if name.startswith("toy/")}
    assert toys - set(MODELS) <= {"toy/gemma4-assistant-dense"}
    assert len(DATA["rows"]) >= 400
