"""budget against every measured allocation: `python -m tests.bench.accuracy [--worst N] [--only WORD]`."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from bench import measured
from budget.errors import BudgetError


def main() -> None:
    """Print a table of exact buffers, and the worst differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    exact: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    low: Counter[tuple[str, str]] = Counter()
    loads: Counter[tuple[str, bool]] = Counter()
    wrong_loads: list[tuple[str, str]] = []
    worst = []
    for i, row in enumerate(measured.rows()):
        if arguments.only not in f"{row['model']} {row['tag']} {row['machine']}":
            continue
        try:
            said = measured.said(i)
        except BudgetError as e:
            print(f"{row['model']} {row['tag']}: {e}")
            continue
        right = True
        for name, column, want, have in said.pairs(row):
            group = (row["model"].split("/")[0], column)
            total[group] += 1
            exact[group] += want == have
            low[group] += have < want - max(want // 100, 1 << 20)
            right = right and (column != "compute" or want == have)
            worst.append((abs(want - have), row, name, column, want, have))
        if row["accounting"] != "no_alloc":
            loads[(said.basis, right)] += 1
            if not right:
                wrong_loads.append((said.basis, f"{row['model']} {row['tag']}"))
    label = {"real": "27 real models", "toy": "128 fixtures"}
    print(f"{'':16}{'buffers':>9}{'exact':>9}{'':>9}{'low by over 1 % and 1 MiB':>27}")
    for group, n in sorted(total.items()):
        share = f"{100 * exact[group] / n:.1f} %"
        print(f"{label[group[0]]:<16}{n:>9}{exact[group]:>9}{share:>9}{low[group]:>27}  {group[1]}")
    for basis in ("exact", "formula", "estimate"):
        right, wrong = loads[(basis, True)], loads[(basis, False)]
        if right or wrong:
            print(f"compute said {basis}: right in {right} loads, wrong in {wrong}")
            for name, n in sorted(Counter(name for b, name in wrong_loads if b == basis).items()):
                print(f"  wrong: {name}{f', {n} times' if n > 1 else ''}")
    for _, row, name, column, want, have in sorted(worst, key=lambda w: -w[0])[: arguments.worst]:
        if want != have:
            print(
                f"{row['model']} {row['tag']} {row['machine']} {name} {column}: measured {want}, budget {have}"
            )


if __name__ == "__main__":
    main()
