"""Measured compute buffers beside replayed ones: `python -m tests.bench.compute_rows --only real/gemma-3-4b`.

Prints the rows that differ, the share that is exact by model or by tag, and how long an evaluation takes.
"""

from __future__ import annotations

import argparse
import collections
import time
from typing import Any

from tests import truth

from budget.errors import BudgetError
from budget.memory.compute import compute_buffers
from budget.memory.place import place
from budget.runtime.settings import Settings, resolve

_VALUES = {
    "-c": "n_ctx", "-np": "n_parallel", "-b": "n_batch", "-ub": "n_ubatch", "-ngl": "n_gpu_layers", "-mg": "main_gpu",
    "-fa": "flash_attn", "-ctk": "type_k", "-ctv": "type_v", "-sm": "split_mode",
}  # fmt: skip
_FLAGS = {
    "--embedding": ("embedding", True), "-nkvo": ("offload_kqv", False), "--swa-full": ("swa_full", True),
    "-nr": ("repack", False),
}  # fmt: skip
_EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"


def settings(row: dict[str, Any]) -> Settings:
    """The row's settings, without the command line parser."""
    given: dict[str, Any] = {"tool": "llama-cli" if row["defaults"] == "llama-cli" else "llama-server"}
    given["load_mode"] = "none"
    overrides: list[tuple[str, str]] = []
    words = iter(truth.arguments(row))
    for word in words:
        if word in _FLAGS:
            name, value = _FLAGS[word]
            given[name] = value
        elif word in _VALUES:
            name, text = _VALUES[word], next(words)
            given[name] = text if isinstance(getattr(Settings(), name), str) else int(text)
        elif word == "-ts":
            given["tensor_split"] = tuple(float(x) for x in next(words).split(","))
        elif word == "-cmoe":
            overrides.append((_EXPERTS, "CPU"))
        elif word == "-ncmoe":
            overrides += [(rf"blk\.{i}{_EXPERTS}", "CPU") for i in range(int(next(words)))]
        elif word == "-ot":
            overrides += [tuple(part.split("=")) for part in next(words).split(",")]  # type: ignore[misc]
        else:
            raise SystemExit(f"{word}: not known")
    return Settings(**given, tensor_buft_overrides=tuple(overrides))


def replay(row: dict[str, Any], accounting: str = "real") -> tuple[dict[str, int], str, float]:
    """(bytes by buffer, basis or error, seconds) of one row."""
    model = truth.model(row["model"])
    setup = settings(row)
    params, placement = resolve(setup, model), place(model, setup, truth.machine(row))
    start = time.perf_counter()
    result = compute_buffers(model, params, placement, accounting=accounting)  # type: ignore[arg-type]
    seconds = time.perf_counter() - start
    note = f"{result.basis}{f' ({result.note})' if result.note else ''} fa={result.flash_attn}"
    return result.bytes_by_buffer, note, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", default="", help="words of `model tag machine`, comma separated; any may match"
    )
    parser.add_argument("--by", default="model", choices=("model", "tag", "machine"))
    parser.add_argument("--worst", type=int, default=20, help="rows that differ to print")
    options = parser.parse_args()
    words = options.only.split(",")
    rows = [r for r in truth.rows() if any(w in f"{r['model']} {r['tag']} {r['machine']}" for w in words)]
    rows = [r for r in rows if r["accounting"] == "allocated"]
    groups: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0, 0])
    said: collections.Counter[tuple[str, bool]] = collections.Counter()
    times, different = [], []
    for row in rows:
        want = {name: b["compute"] for name, b in row["buffers"].items() if b["compute"]}
        try:
            got, note, seconds = replay(row)
        except BudgetError as e:
            got, note, seconds = {}, f"error: {e.message}", 0.0
        times.append(seconds)
        exact = got == want
        said[note.split(" ")[0], exact] += 1
        group = groups[row[options.by]]
        group[0] += exact
        group[1] += 1
        if not exact:
            different.append((row, want, got, note))
    for name, (exact, n, _) in sorted(groups.items()):
        print(f"{name:34s} {exact:4d} / {n:4d}{'' if exact == n else '  <--'}")
    for row, want, got, note in different[: options.worst]:
        print(f"{row['model']} {row['tag']} {row['machine']} {note}")
        for name in sorted(set(want) | set(got)):
            a, b = want.get(name, 0), got.get(name, 0)
            print(f"    {name:10s} measured {a:12d} replayed {b:12d} {b - a:+d}")
    n_exact = sum(v[0] for v in groups.values())
    print(f"exact {n_exact} of {len(rows)} rows; said and exact or not: {dict(said)}")
    times.sort()
    if times:
        print(f"evaluation: median {1e3 * times[len(times) // 2]:.1f} ms, worst {1e3 * times[-1]:.1f} ms")


if __name__ == "__main__":
    main()
