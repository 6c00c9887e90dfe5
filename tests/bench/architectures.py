"""What budget says of each architecture, held against measured loads: `python -m tests.bench.architectures`.

Prints docs/accuracy.md.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import truth
from bench import measured
from budget.errors import BudgetError
from budget.memory.compute.families import TABLE, UNCHECKED
from budget.model.architectures import ARCHITECTURES, VALIDATED_COMMIT
from budget.model.read import read_model
from memory.compute import test_cpu_build as cpu_build
from memory.compute import test_families as families

HEAD = f"""\
<!-- Written by `python -m tests.generated`; `python -m tests.bench.architectures` prints it. Do not edit. -->
# Accuracy by architecture

llama.cpp commit {VALIDATED_COMMIT}. Every load of llama.cpp that `tests/data` holds is planned again and compared
buffer by buffer, to the byte. `.venv/bin/python -m tests.bench.architectures` prints this page.

- **loads**: loads of real models and of small models of the same architecture, on an H200 and on a CPU.
- **weights, context, compute**: how many of their buffers are exact, of how many. Context is K/V caches and state.
- **said exact**: in how many loads `basis.compute` said `exact`, and in how many of these it was wrong.
- **reserved**: further small models for which llama.cpp only reserved memory, on a CPU build or on a device that counts
  bytes, and how many of these reservations are equal.
- **compute basis**: what `basis.compute` says on CUDA and on the CPU. `estimate` is a closed form, rounded up.

Where weights and context are not exact, two virtual devices of one card split the layers at exactly half, and free
memory moved by a few pages between the reading and the load: see `MOVED` in `tests/memory/test_measured.py`.
"""


@dataclass(slots=True)
class Tally:
    """One architecture."""

    loads: Counter[str] = field(default_factory=Counter)
    exact: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    said_exact: Counter[bool] = field(default_factory=Counter)
    bases: set[str] = field(default_factory=set)
    reserved: Counter[bool] = field(default_factory=Counter)


def main() -> None:
    """Print the page."""
    tallies: dict[str, Tally] = {name: Tally() for name in ARCHITECTURES}
    for i, row in enumerate(measured.rows()):
        _measured(tallies[truth.model(row["model"]).architecture], i, row)
    for row in families.DATA["rows"]:
        model = families.model_of(row["model"])
        answer = families.replayed(model, families.settings_of(row), row["n_devices"])
        tallies[model.architecture].reserved[answer.bytes_by_buffer == row["compute"]] += 1
        tallies[model.architecture].bases.add(answer.basis)
    for case in cpu_build.CASES.values():
        tally = tallies[read_model(truth.header(case["spec"])).architecture]
        for row in case["rows"]:
            answer = cpu_build.replayed(case, row)
            found = sorted(size for size in answer.bytes_by_buffer.values() if size)
            tally.reserved[found == row["compute"]] += 1
            tally.bases.add(answer.basis)
    print(HEAD)
    _summary(tallies)
    print("| architecture | loads | weights | context | compute | said exact | reserved | compute basis |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sorted(tallies):
        print(_line(name, tallies[name]))


def _measured(tally: Tally, i: int, row: dict[str, Any]) -> None:
    tally.loads[str(row["model"]).split("/")[0]] += 1
    try:
        said = measured.said(i)
    except BudgetError as e:
        raise SystemExit(f"{row['model']} {row['tag']}: {e}") from e
    right = True
    for _, column, want, have in said.pairs(row):
        tally.total[column] += 1
        tally.exact[column] += want == have
        right = right and (column != "compute" or want == have)
    if row["accounting"] != "no_alloc":
        tally.bases.add(said.basis)
        if said.basis == "exact":
            tally.said_exact[right] += 1


def _summary(tallies: dict[str, Tally]) -> None:
    """The sums, and the names that a reader looks for first."""
    loads = sum(sum(t.loads.values()) for t in tallies.values())
    measured = [name for name, t in tallies.items() if t.loads or t.reserved]
    print(f"{loads} loads; {len(measured)} of {len(tallies)} architectures compared with llama.cpp.\n")
    for basis, names in _by_basis(tallies).items():
        if names:
            print(f"- {basis}: {', '.join(f'`{n}`' for n in sorted(names))}")
    print()


def _by_basis(tallies: dict[str, Tally]) -> dict[str, list[str]]:
    others = [name for name in tallies if name not in TABLE and ARCHITECTURES[name].memory != "unsupported"]
    bare = [
        name
        for name, t in tallies.items()
        if name in TABLE and name not in UNCHECKED and not t.loads and not t.reserved
    ]
    return {
        "`formula`, a graph that follows the source and was never compared": sorted(UNCHECKED),
        "`estimate`, a closed form": others,
        "names that llama.cpp knows and loads no model of (`clip` is a projector)": [
            name for name in tallies if ARCHITECTURES[name].memory == "unsupported"
        ],
        "compared in `tests/memory/compute/test_rwkv.py`": [name for name in bare if "rwkv" in name],
        "`exact` from the source alone, no load of its own": [name for name in bare if "rwkv" not in name],
    }  # fmt: skip


def _line(name: str, tally: Tally) -> str:
    loads = " + ".join(
        f"{n} {'real' if kind == 'real' else 'small'}" for kind, n in sorted(tally.loads.items())
    )
    shares = [
        f"{tally.exact[column]} of {tally.total[column]}" if tally.total[column] else "-"
        for column in ("weights", "context", "compute")
    ]
    said = sum(tally.said_exact.values())
    said_text = f"{said}, wrong {tally.said_exact[False]}" if said else "-"
    reserved = sum(tally.reserved.values())
    reserved_text = f"{tally.reserved[True]} of {reserved}" if reserved else "-"
    return f"| {name} | {loads or '-'} | {' | '.join(shares)} | {said_text} | {reserved_text} | {_basis(name, tally)} |"


def _basis(name: str, tally: Tally) -> str:
    if ARCHITECTURES[name].memory == "unsupported":
        return "-"
    if name not in TABLE:
        return "estimate"
    if name in UNCHECKED:
        return "formula"
    return ", ".join(sorted(tally.bases)) or "exact"


if __name__ == "__main__":
    main()
