"""Architectures and header keys that no measured row has, against a CPU build of the same llama.cpp commit.

tests/data/cpu_build.json.xz: headers of tiny models, the settings of a load, and the bytes of its compute buffers
as `llama_get_memory_breakdown` says, in order of size: on the CPU alone, or with two RPC servers on the same host
that compute on its CPU.
"""

from __future__ import annotations

import json
import lzma

import pytest

import truth
from budget.errors import UsageError
from budget.machine.device import Device, Host, Machine
from budget.memory.compute import compute_buffers
from budget.memory.place import place
from budget.model.read import read_model
from budget.runtime.settings import Settings, resolve

with lzma.open(truth.DATA / "cpu_build.json.xz", "rt") as f:
    CASES = {case["name"]: case for case in json.load(f)}


def machine(n_devices):
    devices = (
        Device(
            name=f"RPC{i}[127.0.0.1:{i}]", backend="rpc", remote_backend="cpu", alignment_bytes=32,
            total_bytes=1 << 40, free_bytes=1 << 40,
        )
        for i in range(n_devices)
    )  # fmt: skip
    host = Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c"))
    return Machine(host=host, devices=tuple(devices))


def replayed(case, row):
    n_devices = row["n_devices"]
    settings = Settings(load_mode="none", repack=False, tensor_split=(1.0,) * n_devices, **row["settings"])
    model = read_model(truth.header(case["spec"]))
    placement = place(model, settings, machine(n_devices))
    return compute_buffers(model, resolve(settings, model), placement)


@pytest.mark.parametrize("name", CASES)
def test_a_cpu_build_allocates_the_same_bytes(name):
    for row in CASES[name]["rows"]:
        answer = replayed(CASES[name], row)
        found = sorted(size for size in answer.bytes_by_buffer.values() if size)
        assert (found, answer.basis) == (row["compute"], "exact"), row["settings"]


def test_plm_with_flash_attention_is_refused_because_llama_cpp_stops():
    case = CASES["plm"]
    with pytest.raises(UsageError, match="unless flash attention is off"):
        replayed(case, {"n_devices": 0, "settings": {"n_ctx": 1024}})
