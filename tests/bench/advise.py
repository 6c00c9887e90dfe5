"""`advise` against llama.cpp's own --fit, and its time on large machines: `python -m tests.bench.advise`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import truth
from budget.machine.device import Device, Host, Machine
from budget.memory.place import place
from budget.model.facts import Model
from budget.model.read import read_model
from budget.planning.advise import advise
from budget.planning.budget import Budget, resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.offload import gpu_weight_bytes
from budget.runtime.settings import Settings

MiB, GiB = 1 << 20, 1 << 30
TAGS = ("fit8", "fit24", "fit_2x12")


def caps(row: dict) -> dict[str, int]:
    """Per device: free memory less the row's margin, or what llama.cpp's choice used if that is more."""
    margins = [int(m) * MiB for m in row["args"][row["args"].index("-fitt") + 1].split(",")]
    result = {}
    for i, device in enumerate(row["devices"]):
        used = row["buffers"].get(device["name"], {})
        taken = sum(used.get(k, 0) for k in ("model", "context", "compute"))
        result[device["name"]] = max(device["free"] - margins[min(i, len(margins) - 1)], taken)
    return result


def request_of(row: dict) -> Request:
    """The row's model with its context, everything else open."""
    args = ["-c", str(row["n_ctx"]), *(["--embedding"] if "--embedding" in row["args"] else [])]
    return Request(
        model=truth.model(row["model"]),
        settings=truth.settings({**row, "args": args, "defaults": "llama-server"}),
        machine=truth.machine(row),
        budget=Budget(mode="per_device", text="", caps={**caps(row), "CPU": 1 << 42}),
        overhead_bytes=0,
    )


def moved(row: dict, request: Request) -> bool:
    """Whether llama.cpp had to leave weights on the host, the embedding aside."""
    host = sum(b["model"] for b in row["buffers"].values() if b["host"])
    whole = place(request.model, replace(request.settings, n_gpu_layers=-1), request.machine)
    inputs = sum(p.tensor.nbytes for p in whole.weights if p.tensor_class == "input")
    return host > inputs * 1.01 + MiB


def large_moe(n_layer: int = 94, n_embd: int = 4096, n_ff_exp: int = 1536, n_head: int = 64) -> Model:
    """A mixture of experts like Qwen3 235B: the 30B one with more and wider layers."""
    spec = truth.specs()["real/qwen3-30b-a3b"]
    metadata = dict(spec["metadata"])
    numbers = {
        "block_count": n_layer, "embedding_length": n_embd, "expert_feed_forward_length": n_ff_exp,
        "attention.head_count": n_head,
    }  # fmt: skip
    for key, value in numbers.items():
        metadata[f"qwen3moe.{key}"] = [metadata[f"qwen3moe.{key}"][0], value]
    wide = {2048: n_embd, 768: n_ff_exp, 4096: n_head * 128}
    tensors = [
        [name, [wide.get(d, d) for d in dims], kind]
        for name, dims, kind in spec["tensors"]
        if not name.startswith("blk.")
    ]
    for il in range(n_layer):
        source = f"blk.{10 if il % 2 else 1}."
        tensors += [
            [f"blk.{il}.{name.removeprefix(source)}", [wide.get(d, d) for d in dims], kind]
            for name, dims, kind in spec["tensors"]
            if name.startswith(source)
        ]
    return read_model(truth.header({"metadata": metadata, "tensors": tensors}))


def large_request(n_gpu: int, free_gib: int, *, n_ctx: int = 0) -> Request:
    """The large model on cards with `free_gib` each."""
    host = Host(ram_total_bytes=1 << 40, ram_available_bytes=1 << 40, cpu_features=("avx2", "fma", "f16c"))
    cards = tuple(
        Device(name=f"CUDA{i}", compute_capability="8.9", total_bytes=24 * GiB, free_bytes=free_gib * GiB)
        for i in range(n_gpu)
    )
    machine = Machine(host=host, devices=cards)
    budget = resolve_budget("auto", machine)
    return Request(model=large_moe(), settings=Settings(n_ctx=n_ctx), machine=machine, budget=budget)


def against_llama_cpp(only: str) -> None:
    """A row per model and tag."""
    more = n_moved = less = none = n = 0
    for row in truth.rows():
        if row["tag"] not in TAGS or only not in f"{row['model']} {row['tag']}":
            continue
        request = request_of(row)
        start = time.process_time()
        best = advise(request, frozenset({"n_ctx"})).best
        seconds = time.process_time() - start
        theirs = sum(b["model"] for b in row["buffers"].values() if not b["host"])
        mine = gpu_weight_bytes(plan(best.plan.request).layout) if best else -1
        had_to_move = moved(row, request)
        n += 1
        none += best is None
        less += mine < theirs
        n_moved += had_to_move
        more += had_to_move and mine > theirs
        mark = "" if mine >= theirs else "  LESS"
        print(
            f"{row['model'][5:]:<22}{row['tag']:<9} llama.cpp {theirs / MiB:10.1f}  budget {mine / MiB:10.1f} MiB  "
            f"{(mine - theirs) / MiB:+9.1f}  {seconds * 1000:6.0f} ms{'  moved' if had_to_move else ''}{mark}"
        )
    print(
        f"{n} rows, {none} without an answer, {less} with less on the GPUs; "
        f"of {n_moved} where weights had to move, {more} with more"
    )


def on_large_machines() -> None:
    """Processor time of one answer, the best of three."""
    print("\n94 layers, 128 experts")
    for n_gpu, free_gib, n_ctx in ((4, 22, 0), (4, 22, 16384), (4, 36, 0), (16, 7, 0), (16, 7, 16384)):
        request = large_request(n_gpu, free_gib, n_ctx=n_ctx)
        explicit = frozenset({"n_ctx"} if n_ctx else ())
        times = []
        for _ in range(3):
            start = time.process_time()
            advise(request, explicit)
            times.append(time.process_time() - start)
        print(f"{n_gpu:>2} x {free_gib} GiB, -c {n_ctx or 'free':<6}  {min(times) * 1000:6.0f} ms")


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    against_llama_cpp(arguments.only)
    if not arguments.only:
        on_large_machines()


if __name__ == "__main__":
    main()
