"""budget against every measured allocation: `python -m tests.bench.accuracy [--worst N] [--only WORD]`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import truth
from budget.errors import BudgetError
from budget.memory.layout import lay_out

COLUMNS = (("weights", "model"), ("context", "context"), ("compute", "compute"))


def main() -> None:
    """Print a table of exact buffers, and the worst differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    exact: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    low: Counter[tuple[str, str]] = Counter()
    said: Counter[tuple[str, bool]] = Counter()
    worst = []
    for row in truth.rows():
        if arguments.only not in f"{row['model']} {row['tag']} {row['machine']}":
            continue
        try:
            layout = lay_out(truth.model(row["model"]), truth.settings(row), truth.machine(row))
        except BudgetError as e:
            print(f"{row['model']} {row['tag']}: {e}")
            continue
        mine = {b.name: b for b in layout.buffers}
        right = True
        for name in sorted(set(mine) | set(row["buffers"])):
            for column, key in COLUMNS:
                if column == "compute" and row["accounting"] == "no_alloc":
                    continue
                want = row["buffers"].get(name, {}).get(key, 0)
                have = getattr(mine[name], f"{column}_bytes") if name in mine else 0
                if not want and not have:
                    continue
                group = (row["model"].split("/")[0], column)
                total[group] += 1
                exact[group] += want == have
                low[group] += have < want - max(want // 100, 1 << 20)
                right = right and (column != "compute" or want == have)
                worst.append((abs(want - have), row, name, column, want, have))
        if row["accounting"] != "no_alloc":
            said[(layout.compute.basis, right)] += 1
    label = {"real": "27 real models", "toy": "128 fixtures"}
    print(f"{'':16}{'buffers':>9}{'exact':>9}{'':>9}{'too low by 1 % and 1 MiB':>27}")
    for group, n in sorted(total.items()):
        share = f"{100 * exact[group] / n:.1f} %"
        print(f"{label[group[0]]:<16}{n:>9}{exact[group]:>9}{share:>9}{low[group]:>27}  {group[1]}")
    for basis in ("exact", "formula", "estimate"):
        if said[(basis, True)] or said[(basis, False)]:
            print(
                f"compute said {basis}: right in {said[(basis, True)]} loads, wrong in {said[(basis, False)]}"
            )
    for _, row, name, column, want, have in sorted(worst, key=lambda w: -w[0])[: arguments.worst]:
        if want != have:
            print(
                f"{row['model']} {row['tag']} {row['machine']} {name} {column}: measured {want}, budget {have}"
            )


if __name__ == "__main__":
    main()
