"""Graphs of architectures that no measured load covers, and branches of builders that fixtures leave out.

`families.json.xz` holds headers of small models made for this test, and what llama.cpp 0c1e570 reserved for them: on
the CPU, and with one or two devices that run every operation, only count bytes, and have CUDA's alignment, host buffer
and rule for offloading operations. Such a device keeps no tensors alive for fusion, so that mixtures of experts have
rows for the CPU alone.
"""

from __future__ import annotations

import json
import lzma
from dataclasses import replace

import pytest

import truth
from budget.errors import UsageError
from budget.machine.device import Device, Host, Machine
from budget.memory.compute import compute_buffers
from budget.memory.compute.families import TABLE, UNCHECKED
from budget.memory.place import place
from budget.model.read import read_model
from budget.runtime.settings import Settings, resolve

with lzma.open(truth.DATA / "families.json.xz", "rt") as f:
    DATA = json.load(f)
MODELS = sorted(DATA["specs"])


def machine(n_devices):
    """A host, and current NVIDIA cards."""
    size = 80 << 30
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


def model_of(name):
    return read_model(truth.header(DATA["specs"][name]))


def replayed(model, settings, n_devices):
    return compute_buffers(model, resolve(settings, model), place(model, settings, machine(n_devices)))


def settings_of(row):
    given = {"tool": "llama-cli", "repack": False, "load_mode": "none", "n_gpu_layers": 0, **row["settings"]}
    return Settings(**given)


@pytest.mark.parametrize("name", MODELS)
def test_buffers_are_those_that_llama_cpp_reserves(name):
    model = model_of(name)
    for row in DATA["rows"]:
        if row["model"] == name:
            answer = replayed(model, settings_of(row), row["n_devices"])
            assert (answer.bytes_by_buffer, answer.basis) == (row["compute"], "exact"), row["settings"]


def test_every_model_has_loads_and_no_architecture_among_them_counts_as_unchecked():
    assert {row["model"] for row in DATA["rows"]} == set(MODELS)
    architectures = {model_of(name).architecture for name in MODELS}
    assert architectures <= set(TABLE)
    assert not architectures & UNCHECKED


def test_t5_with_a_cache_for_each_sequence_is_refused_since_llama_cpp_aborts():
    settings = Settings(tool="llama-cli", n_ctx=1024, n_parallel=2, kv_unified=False, n_gpu_layers=0)
    with pytest.raises(UsageError, match="aborts"):
        replayed(model_of("t5-gated"), settings, 0)
    one = replace(settings, kv_unified=True)
    assert replayed(model_of("t5-gated"), one, 0).basis == "exact"


def test_a_layer_that_shares_a_cache_writes_nothing_and_reads_the_last_of_its_kind():
    from budget.memory.compute.builder import Builder
    from budget.memory.compute.families.gemma_altup import shared_cache_layer

    model = model_of(
        "gemma4-shared"
    )  # 6 layers, the last 3 without caches; layers 2 and 5 see the whole context
    graph = Builder.__new__(Builder)
    graph.model = model
    assert [shared_cache_layer(graph, il) for il in range(6)] == [0, 1, 2, 1, 1, 2]
