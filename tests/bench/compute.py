"""Processor time of one evaluation of the compute buffers: `python -m tests.bench.compute`."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import truth
from budget.machine.device import Device, Host, Machine
from budget.memory.compute import compute_buffers
from budget.memory.place import place
from budget.model.read import read_model
from budget.runtime.settings import Settings, resolve

GiB = 1 << 30
RUNS = 3


def grown(name: str, n_layer: int) -> dict:
    """The spec of a model with its blocks repeated up to `n_layer`."""
    spec = truth.specs()[name]
    architecture = spec["metadata"]["general.architecture"][1]
    metadata = {**spec["metadata"], f"{architecture}.block_count": ["u32", n_layer]}
    outside = [t for t in spec["tensors"] if not t[0].startswith("blk.")]
    block = [t for t in spec["tensors"] if t[0].startswith("blk.1.")]
    repeated = [[t[0].replace("blk.1.", f"blk.{il}.", 1), *t[1:]] for il in range(n_layer) for t in block]
    return {"metadata": metadata, "tensors": [*outside, *repeated]}


def best(model, settings, machine) -> float:
    """Shortest of some runs, seconds."""
    params, placement = resolve(settings, model), place(model, settings, machine)
    shortest = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        compute_buffers(model, params, placement)
        shortest = min(shortest, time.process_time() - start)
    return shortest


def main() -> None:
    """Median and worst over the measured loads of real models, and a 94-layer mixture of experts on four GPUs."""
    gc.set_threshold(50_000)  # as rarely as `budget` collects
    seconds = []
    for row in truth.rows():
        if row["model"].startswith("real/"):
            model, settings, machine = truth.model(row["model"]), truth.settings(row), truth.machine(row)
            seconds.append((best(model, settings, machine), f"{row['model'][5:]} {row['tag']}"))
    seconds.sort()
    print(f"{len(seconds)} loads: median {1000 * statistics.median(s for s, _ in seconds):.1f} ms")
    print(f"worst {1000 * seconds[-1][0]:.1f} ms ({seconds[-1][1]})")
    cards = tuple(
        Device(name=f"CUDA{i}", compute_capability="9.0", total_bytes=80 * GiB, free_bytes=80 * GiB)
        for i in range(4)
    )
    machine = Machine(host=Host(ram_total_bytes=512 * GiB, ram_available_bytes=512 * GiB), devices=cards)
    model = read_model(truth.header(grown("real/qwen3-30b-a3b", 94)))
    print(
        f"94-layer mixture of experts on 4 GPUs: {1000 * best(model, Settings(n_ctx=32768), machine):.1f} ms"
    )


if __name__ == "__main__":
    main()
