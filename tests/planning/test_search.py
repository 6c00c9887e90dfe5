"""The largest context against every context there is."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest

import truth
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.longest import max_context, regain_bytes, with_context
from budget.planning.search import largest
from budget.record import replace
from budget.runtime.command_line import parse_settings
from plans import machine

N_STEPS = 32

STRAIGHT = {
    "full-attention": ("toy/llama-dense", "-np 1", (80,)),
    "sliding-window": ("toy/gemma3-dense", "-np 1", (80,)),
    "sliding-window-for-each-of-three": ("toy/gemma2-dense", "-np 3 -no-kvu", (80,)),
    "window-without-flash-attention": ("toy/gpt-oss-moe", "-fa off", (80, 80)),
    "states": ("toy/qwen3next-moe", "-ub 64", (80,)),
    "ram-alone": ("toy/gemma3-dense", "-ctk q8_0 -fa on", ()),
}
"""Everything on devices or in RAM alone: what is needed never falls."""
FALLING = {
    "caches-in-ram": ("toy/bailingmoe-moe", "-nkvo", (80,)),
    "some-layers-in-ram": ("toy/arctic-moe", "-ngl 2", (80,)),
    "experts-in-ram": ("toy/arctic-moe", "-ncmoe 1", (24, 80)),
}
"""A device's compute buffer shrinks at some steps."""


@cache
def needs(case) -> tuple[Request, int, dict[str, list[int]]]:
    """The request, tokens of one step, and what each device needs at every number of steps."""
    name, line, gpus = case
    on = machine(*gpus)
    settings, _ = parse_settings(line.split())
    request = Request(
        model=truth.model(name), settings=settings, machine=on, budget=resolve_budget("unlimited", on),
        overhead_bytes=0,
    )  # fmt: skip
    step = 256 * (1 if settings.n_parallel < 0 else settings.n_parallel)
    plans = [plan(with_context(request, n * step)) for n in range(1, N_STEPS + 1)]
    return (
        request,
        step,
        {
            device.name: [p.devices[i].required_bytes for p in plans]
            for i, device in enumerate(plans[0].devices)
        },
    )


def caps(of):
    """A few budgets for a device: what it needs at some contexts, and one byte less."""
    levels = sorted(set(of))
    return {level - less for level in levels[:: max(len(levels) // 6, 1)] for less in (0, 1)}


def found(request: Request, step: int, device: str, cap: int) -> int | None:
    budget = resolve_budget({device: cap}, request.machine)
    budget = replace(budget, caps={**dict.fromkeys(budget.caps, 1 << 50), device: cap})
    return max_context(replace(request, budget=budget), limit=N_STEPS * step)


@pytest.mark.parametrize("name", STRAIGHT)
def test_where_nothing_falls_the_largest_of_all_contexts_is_found(name):
    request, step, needed = needs(STRAIGHT[name])
    for device, of in needed.items():
        assert of == sorted(of)
        for cap in caps(of) if max(of) > min(of) else ():
            n = max((n for n, need in enumerate(of, 1) if need <= cap), default=None)
            assert found(request, step, device, cap) == (n and n * step)


@pytest.mark.parametrize("name", FALLING)
def test_a_context_that_fits_again_beyond_one_that_does_not_is_found(name):
    request, step, needed = needs(FALLING[name])
    of = needed["CUDA0"]
    falls = [(high, low) for high, low in pairwise(of) if low < high]
    assert falls
    for _, cap in falls:
        n = max(n for n, need in enumerate(of, 1) if need <= cap)
        assert found(request, step, "CUDA0", cap) == n * step


def test_what_falls_is_bounded_by_the_part_of_the_compute_buffer_that_is_said():
    for case in FALLING.values():
        request, step, needed = needs(case)
        for of in needed.values():
            for at, (high, low) in enumerate(pairwise(of), 1):
                assert high - low <= regain_bytes(plan(with_context(request, at * step)))


@pytest.mark.parametrize("name", STRAIGHT)
def test_where_nothing_falls_nothing_is_looked_for(name):
    request, step, _ = needs(STRAIGHT[name])
    assert regain_bytes(plan(with_context(request, step))) == 0


ISLAND = [5, 4, 3, 1, -1, -2, 1, -1, -3, -9, -9, 7, -20]


@pytest.mark.parametrize(
    ("regain", "rooms", "expected"),
    [
        pytest.param(0, ISLAND, 3, id="not-looked-for"),
        pytest.param(3, ISLAND, 6, id="beyond-the-end"),
        pytest.param(9, ISLAND, 11, id="beyond-that-one"),
        pytest.param(9, [-1, -2, 3, -9], 2, id="the-first-does-not-fit"),
        pytest.param(9, [-1, -2, -3, -10], None, id="none-fits"),
        pytest.param(9, [-1], None, id="only-one-and-it-does-not-fit"),
        pytest.param(9, [0], 0, id="only-one"),
    ],
)
def test_beyond_an_end_is_looked_as_far_as_room_may_come_back(regain, rooms, expected):
    n = largest(lambda n: rooms[n], low=0, high=len(rooms) - 1, regain=lambda _n: regain)
    assert n == expected


@pytest.mark.parametrize("regain", [0, 5, 40])
@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_curve_the_answer_fits_and_the_next_does_not(seed, regain):
    def room(n):
        return 300 - 7 * n + (n * n * (seed + 3) + seed * n) % 60

    n = largest(room, low=1, high=90, regain=lambda _n: regain)
    assert room(n) >= 0
    assert n == 90 or room(n + 1) < 0
