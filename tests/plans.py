"""Machines and described models for planning tests, in round numbers."""

from __future__ import annotations

from typing import Any

from budget.machine.device import Device, Host, Machine
from budget.planning.budget import resolve_budget
from budget.planning.described import Described, model_of
from budget.planning.fit import Request
from budget.runtime.settings import Settings

GiB = 1 << 30


def machine(*gpus_gib: float, ram_gib: float = 100) -> Machine:
    """GPUs named CUDA0, CUDA1, ... with so much memory free, and a host."""
    ram = int(ram_gib * GiB)
    return Machine(
        host=Host(ram_total_bytes=ram, ram_available_bytes=ram),
        devices=tuple(
            Device(name=f"CUDA{i}", total_bytes=int(n * GiB), free_bytes=int(n * GiB))
            for i, n in enumerate(gpus_gib)
        ),
    )


def described(weights_gib: float = 8, **options: Any) -> Described:
    """Eight GiB of weights, and K/V of 1 MiB per token."""
    options = {"kv_bytes_per_token": 1 << 20, "n_ctx_train": 32768} | options
    return Described(weights_bytes=int(weights_gib * GiB), **options)


def request(
    model: Described, on: Machine, *, budget: Any = "auto", settings: Settings | None = None, **options: Any
) -> Request:
    """A request for a described model, without any overhead."""
    return Request(
        model=model_of(model), described=model, settings=settings or Settings(n_ctx=4096), machine=on,
        budget=resolve_budget(budget, on), overhead_bytes=0, **options,
    )  # fmt: skip
