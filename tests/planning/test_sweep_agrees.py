"""A sweep places a model once for each number of layers: every point is still the plan of its own settings."""

from __future__ import annotations

from dataclasses import replace as changed

import pytest

import truth
from budget.errors import BudgetError
from budget.planning.axes import FIELDS
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.sweep import sweep
from budget.record import replace
from budget.runtime.command_line import parse_settings
from plans import machine

AXES = {
    "ctx": (1024, 8192),
    "ngl": (0, 2, "all"),
    "np": (1, 3),
    "ub": (16, 512),
    "ctk": ("f32", "q4_0"),
    "ctv": ("f16", "q8_0"),
}
GRIDS = (("ctx", "np", "ub"), ("ctx", "ctk", "ctv"), ("ngl", "np"), ("ngl", "ctk"), ("ctx", "ngl"))
MACHINES = {
    "two-equal": machine(24, 24),
    "two-unequal": machine(12, 36),
    "no-gpu": machine(),
    "other-backends": changed(
        machine(16, 16),
        devices=tuple(
            changed(d, name=name, backend=backend)
            for d, name, backend in zip(
                machine(16, 16).devices, ("Vulkan0", "SYCL0"), ("vulkan", "sycl"), strict=True
            )
        ),
    ),
}
SETTINGS = {
    "experts-in-ram": ("toy/qwen3moe-moe", "-ncmoe 1", "two-unequal"),
    "experts-in-ram-without-flash-attention": ("toy/gpt-oss-moe", "-ncmoe 2 -fa off", "two-equal"),
    "overridden-by-name": ("toy/llama-dense", "-ot ffn_down=CPU -fa off", "two-unequal"),
    "tensor-split": ("toy/llama-dense", "-sm tensor", "two-equal"),
    "one-card": ("toy/gemma3-dense", "-sm none -mg 1", "two-equal"),
    "shares": ("toy/gemma3-dense", "-ts 1,3 --swa-full", "two-equal"),
    "caches-in-ram": ("toy/qwen3moe-moe", "-nkvo", "two-unequal"),
    "not-mapped": ("toy/llama-dense", "-lm none -nr", "two-equal"),
    "host-alone": ("toy/llama-dense", "", "no-gpu"),
    "operations-the-device-does-not-run": ("toy/mamba-dense", "", "two-equal"),
    "other-backends": ("toy/qwen3next-moe", "", "other-backends"),
    "blocks-for-prediction": ("toy/glm4moe-moe", "--spec-type draft-mtp", "two-equal"),
}


def asked(name: str, accounting: str) -> Request:
    model, line, on = SETTINGS[name]
    settings, _ = parse_settings(line.split())
    return Request(
        model=truth.model(model), settings=replace(settings, n_ctx=2048), machine=MACHINES[on],
        budget=resolve_budget("auto", MACHINES[on]), accounting=accounting,
    )  # fmt: skip


def alone(request: Request, values):
    """The plan of one point made without a sweep, or why there is none."""
    settings = request.settings
    for axis, value in values.items():
        written = {"all": -2}.get(value, value)
        settings = replace(settings, **dict.fromkeys(FIELDS[axis], written))
    try:
        answer = plan(replace(request, settings=settings))
    except BudgetError as e:
        return e.message
    return answer.devices, answer.layout.buffers, answer.verdict


@pytest.mark.parametrize("accounting", ["real", "fit"])
@pytest.mark.parametrize("name", SETTINGS)
def test_every_point_is_the_plan_of_its_own_settings(name, accounting):
    request = asked(name, accounting)
    for grid in GRIDS if accounting == "real" else GRIDS[-1:]:
        found = sweep(request, {axis: AXES[axis] for axis in grid})
        for point in found.points:
            assert result_of(point) == alone(request, point.values), point.values


def result_of(point):
    answer = point.plan
    return point.problem if answer is None else (answer.devices, answer.layout.buffers, answer.verdict)
