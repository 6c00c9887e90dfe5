"""Processes that use one ledger at once; functions here run in children."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from budget.machine.device import Device, Host, Machine
from budget.planning.budget import Budget, resolve_budget
from budget.planning.residents import Resident
from budget.store.ledger import admit, release

GiB = 1 << 30
WRITING = frozenset({"open", "os.rename", "os.remove", "os.truncate", "fcntl.flock", "os.mkdir", "os.chmod"})
"""Audit events of everything that an admission does to files."""


def budget(gib: int) -> Budget:
    host = Host(ram_total_bytes=1 << 40, ram_available_bytes=1 << 40)
    return resolve_budget(f"vram={gib}GiB", Machine(host=host, devices=(Device(name="CUDA0"),)))


def admit_one(
    path: Path, name: str, size_bytes: int, gib: int, start: Any = None, answers: Any = None
) -> None:
    """Wait for the others, ask for admission once, and say what came of it."""
    if start is not None:
        start.wait()
    answer = admit(path, Resident(name=name, usage={"CUDA0": size_bytes}), budget(gib), timeout_s=600)
    if answers is not None:
        answers.put((name, answer.admitted))


def admit_for_ever(path: Path) -> None:
    """Admit and release until killed."""
    n = 0
    while True:
        admit(path, Resident(name=f"loop{n}", usage={"CUDA0": 1}), budget(64))
        release(path, f"loop{n}")
        n += 1


def die_at(path: Path, n_events: int) -> None:
    """Admit one resident, and die without a word at the `n_events`-th thing done to a file; exits 0 past the last."""
    admit(
        path.with_name("warm-up.json"), Resident(name=f"x{n_events}", usage={"CUDA0": 1}), budget(64)
    )  # imports come first
    left = n_events

    def count(event: str, _args: object) -> None:
        nonlocal left
        if event in WRITING:
            left -= 1
            if left == 0:
                os._exit(9)

    sys.addaudithook(count)
    admit(path, Resident(name=f"late{n_events}", usage={"CUDA0": GiB}), budget(64))
    os._exit(0)
