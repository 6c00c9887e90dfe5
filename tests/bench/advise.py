"""`advise` against llama.cpp's own --fit: `python -m tests.bench.advise`."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import truth
from budget.planning.budget import Budget
from budget.planning.fit import Request
from budget.planning.offload import gpu_weight_bytes, offload

MiB = 1 << 20


def caps(row: dict) -> dict[str, int]:
    """Per device: free memory less the margin of the row's arguments, or what llama.cpp's choice used if that is more."""
    margins = [int(m) * MiB for m in row["args"][row["args"].index("-fitt") + 1].split(",")]
    result = {}
    for i, device in enumerate(row["devices"]):
        used = row["buffers"].get(device["name"], {})
        taken = sum(used.get(k, 0) for k in ("model", "context", "compute"))
        result[device["name"]] = max(device["free"] - margins[min(i, len(margins) - 1)], taken)
    return result


def main() -> None:
    """Print a row per model and tag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    more = moved = less = none = n = 0
    for row in truth.rows():
        if (
            row["tag"] not in ("fit8", "fit24", "fit_2x12")
            or arguments.only not in f"{row['model']} {row['tag']}"
        ):
            continue
        settings = truth.settings(
            {
                **row,
                "args": ["-c", str(row["n_ctx"]), *(["--embedding"] if "--embedding" in row["args"] else [])],
                "defaults": "llama-server",
            }
        )
        budget = Budget(mode="per_device", text="", caps={**caps(row), "CPU": 1 << 42})
        request = Request(
            model=truth.model(row["model"]),
            settings=settings,
            machine=truth.machine(row),
            budget=budget,
            overhead_bytes=0,
        )
        start = time.perf_counter()
        answer = offload(request, frozenset({"n_ctx"}))
        seconds = time.perf_counter() - start
        theirs = sum(b["model"] for name, b in row["buffers"].items() if not b["host"])
        host = sum(b["model"] for name, b in row["buffers"].items() if b["host"])
        every = sum(
            p.tensor.nbytes
            for p in __import__("budget.memory.place", fromlist=["place"])
            .place(request.model, replace(settings, n_gpu_layers=-1), request.machine)
            .weights
            if p.tensor_class == "input"
        )
        had_to_move = host > every * 1.01 + MiB
        mine = gpu_weight_bytes(answer.layout) if answer else -1
        n += 1
        none += answer is None
        less += mine < theirs
        moved += had_to_move
        more += had_to_move and mine > theirs
        mark = "" if mine >= theirs else "  LESS"
        print(
            f"{row['model'][5:]:<22}{row['tag']:<9} llama.cpp {theirs / MiB:10.1f}  budget {mine / MiB:10.1f} MiB  {(mine - theirs) / MiB:+9.1f}  {seconds * 1000:6.0f} ms{'  moved' if had_to_move else ''}{mark}"
        )
    print(
        f"{n} rows, {none} without an answer, {less} with less on the GPUs; of {moved} where weights had to move, {more} with more"
    )


if __name__ == "__main__":
    main()
