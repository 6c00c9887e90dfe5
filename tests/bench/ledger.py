"""Hundreds of processes on one ledger, and one alone: `python -m tests.bench.ledger`.

Every process admits a resident and releases it again, `ROUNDS` times. Printed are how long an admission took, how many
waited in vain for `store.ledger.LOCK_SECONDS`. `PROCESSES` and `ROUNDS` in the
environment say how many there are.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from admitters import GiB, budget
from budget.errors import UsageError
from budget.planning.residents import Resident
from budget.store.ledger import admit, read_ledger, release

PROCESSES = int(os.environ.get("PROCESSES", "200"))
ROUNDS = int(os.environ.get("ROUNDS", "5"))
ALONE = 200
"""Admissions without anyone else, of which the median counts."""


def go_round(path: Path, name: str, start: Any, answers: Any) -> None:
    """Admit and release; from when to when, and how long each took, seconds, None where the lock stayed taken."""
    room, waits = budget(64), []
    start.wait()
    first = time.monotonic()
    for _ in range(ROUNDS):
        for change in (
            lambda: admit(path, Resident(name=name, usage={"CUDA0": GiB >> 4}), room),
            lambda: release(path, name),
        ):
            began = time.perf_counter()
            try:
                change()
            except UsageError:
                waits.append(None)
            else:
                waits.append(time.perf_counter() - began)
    answers.put((first, time.monotonic(), waits))


def alone(path: Path) -> float:
    """Median time of one admission that nobody disturbs, seconds."""
    times, room = [], budget(64)
    for i in range(ALONE):
        began = time.perf_counter()
        admit(path, Resident(name=f"a{i}", usage={"CUDA0": 1}), room)
        times.append(time.perf_counter() - began)
        release(path, f"a{i}")
    return statistics.median(times)


def main() -> None:
    """Print the figures of both."""
    here = multiprocessing.get_context("forkserver")
    here.set_forkserver_preload(["admitters"])
    with tempfile.TemporaryDirectory() as folder:
        print(f"one alone: {alone(Path(folder) / 'alone.json') * 1000:.2f} ms an admission")
        path = Path(folder) / "ledger.json"
        start, answers = here.Barrier(PROCESSES + 1), here.Queue()
        children = [
            here.Process(target=go_round, args=(path, f"p{i}", start, answers)) for i in range(PROCESSES)
        ]
        for child in children:
            child.start()
        start.wait()
        told = [answers.get() for _ in children]
        for child in children:
            child.join()
        left = len(read_ledger(path).residents)
    took = max(last for _, last, _ in told) - min(first for first, _, _ in told)
    waits = sorted(w for _, _, waits in told for w in waits if w is not None)
    n_all = PROCESSES * ROUNDS * 2
    print(
        f"{PROCESSES} processes, {n_all} changes in {took:.1f} s ({n_all / took:.0f} a second): "
        f"median {statistics.median(waits):.2f} s, 99 % below {waits[len(waits) * 99 // 100]:.2f} s, "
        f"longest {waits[-1]:.2f} s; {n_all - len(waits)} timed out, {left} left in the ledger"
    )


if __name__ == "__main__":
    main()
