"""`-bs`: the buffers that llama.cpp 0c1e570 logged on a CPU, with llama-server's default samplers on the device."""

from __future__ import annotations

import pytest

import truth
from budget.machine.device import Device, Host, Machine
from budget.memory.layout import lay_out
from budget.runtime.command_line import parse_settings

MiB = 1 << 20
CPU = Machine(host=Host(ram_total_bytes=64 << 30, ram_available_bytes=64 << 30, cpu_features=("avx2",)))
LOGGED = [
    # model, context, sequences, micro-batch; MiB of output and compute, without samplers and with them
    ("llama-3.2-1b", 4096, 4, 512, (1.96, 68.01), (7.83, 68.01)),
    ("llama-3.2-1b", 2048, 64, 64, (31.31, 32.31), (125.25, 64.37)),
    ("llama-3.2-1b", 256, 128, 128, (62.62, 64.63), (250.50, 127.81)),
    ("qwen2.5-0.5b", 4096, 1, 512, (0.58, 39.51), (2.32, 39.51)),
    ("qwen2.5-0.5b", 2048, 64, 64, (37.09, 37.53), (148.38, 75.46)),
]


def laid_out(name, machine, *arguments):
    settings = parse_settings(["-nr", *arguments])[0]
    return lay_out(truth.model(f"real/{name}"), settings, machine)


@pytest.mark.parametrize(("name", "n_ctx", "n_seq_max", "n_ubatch", "without", "sampled"), LOGGED)
def test_samplers_take_what_llama_cpp_logged(name, n_ctx, n_seq_max, n_ubatch, without, sampled):
    arguments = ["-c", str(n_ctx), "-np", str(n_seq_max), "-kvu", "-ub", str(n_ubatch)]
    for more, (output, compute), basis in (([], without, "exact"), (["-bs"], sampled, "estimate")):
        layout = laid_out(name, CPU, *arguments, *more)
        host = layout.on("CPU")
        assert host.output_bytes / MiB == pytest.approx(output, abs=0.006)
        # what follows the first sampler is small, and not built
        assert host.compute_bytes / MiB == pytest.approx(compute, abs=0.006 if not more else 0.005 * compute)
        assert layout.compute.basis == basis
        assert (layout.compute.note is not None) == bool(more)


def test_split_tensors_are_sampled_on_the_cpu():
    pair = Machine(
        host=CPU.host,
        devices=tuple(
            Device(name=f"CUDA{i}", compute_capability="9.0", total_bytes=80 << 30, free_bytes=80 << 30)
            for i in range(2)
        ),
    )
    split = ("-c", "4096", "-sm", "tensor")
    plain, sampling = laid_out("llama-3.1-8b", pair, *split), laid_out("llama-3.1-8b", pair, *split, "-bs")
    assert sampling.buffers == plain.buffers
