"""What llama.cpp does not load, or aborts on while it makes a context, is an error and never a plan.

Each line was given to llama.cpp 0c1e570 with a file of the same header: it returned no context, or ended the process.
"""

from __future__ import annotations

import pytest

import truth
from budget.errors import UsageError
from budget.machine.device import Device, Host, Machine
from budget.memory.layout import lay_out
from budget.runtime.command_line import parse_command_line

G = 1 << 30


def machine(n_devices):
    host = Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c"))
    devices = tuple(
        Device(name=f"CUDA{i}", compute_capability="9.0", total_bytes=80 * G, free_bytes=80 * G)
        for i in range(n_devices)
    )
    return Machine(host=host, devices=devices)


@pytest.mark.parametrize(
    ("name", "line", "n_devices", "words"),
    [
        # llama-context.cpp, output_reserve: GGML_ASSERT(n_outputs_max <= cparams.n_outputs_max)
        ("toy/llama-dense", "llama-server -c 512 -b 1", 0, "4 sequences and a batch of 1"),
        ("toy/llama-dense", "llama-cli -c 255 -b 1 -ub 32 -np 3 -ngl 99", 1, "3 sequences"),
        ("toy/granite-dense", "llama-server -c 1 -ub 2 -np 5 --embedding -fa off", 0, "5 sequences"),
        # llama_init_from_model asks every model for flash attention beside a quantised V, also those without a cache
        ("real/bge-large-en", "llama-server -c 512 --embedding -fa off -ctv q8_0", 0, "quantised V cache"),
        ("toy/mamba2-dense", "llama-server -c 512 -fa off -ctv q4_0", 0, "quantised V cache"),
        # ggml.c: shapes that do not fit together end the process
        ("toy/kimi-linear-moe", "llama-cli -c 257 -np 8", 0, "aborts"),
        ("toy/kimi-linear-moe", "llama-server -c 1 -ub 16 -np 4 -no-kvu -fa off", 0, "aborts"),
        ("real/command-r-35b", "llama-server -c 255 -ub 100 -np 3 -no-kvu --embedding --pooling mean -nr", 0, "aborts"),
        ("toy/mellum-moe", "llama-server -c 100 -ub 16 -np 3 --embedding --pooling mean -ctv q8_0", 0, "aborts"),
        # llama.cpp, llama_prepare_model_devices: -mg counts along the list of -dev
        ("toy/llama-dense", "llama-server -c 512 -sm none -mg 2 -dev CUDA2 -ngl 99", 3, "-mg 2"),
        # llama-model.cpp, make_gpu_buft_list: no backend but SYCL and Hexagon has split buffers
        ("toy/llama-dense", "llama-server -c 512 -sm row -ngl 99", 2, "split buffers"),
    ],
)  # fmt: skip
def test_what_llama_cpp_refuses_is_an_error(name, line, n_devices, words):
    settings = parse_command_line([*line.split(), "-lm", "none"], {}).settings
    with pytest.raises(UsageError, match=words):
        lay_out(truth.model(name), settings, machine(n_devices))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("llama-server -c 1 -np 5", id="the-batch-is-the-parameter-not-what-the-context-leaves"),
        pytest.param("llama-cli -c 512 -b 9 -np 9", id="a-token-for-each-sequence"),
    ],
)
def test_what_llama_cpp_loads_is_a_plan(line):
    settings = parse_command_line([*line.split(), "-lm", "none"], {}).settings
    assert lay_out(truth.model("toy/llama-dense"), settings, machine(0)).compute.basis == "exact"
