"""Suggestions help, and are what a full plan says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

import truth
from budget.machine.device import Device, Host, Machine
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.suggest import suggest, suggestion_object
from budget.runtime.command_line import parse_settings

GiB = 1 << 30


def answer(name, gpus_gib, *arguments, ram_gib=64, budget="auto"):
    machine = Machine(
        host=Host(ram_total_bytes=ram_gib * GiB, ram_available_bytes=ram_gib * GiB),
        devices=tuple(
            Device(name=f"CUDA{i}", compute_capability="8.9", total_bytes=n * GiB, free_bytes=n * GiB)
            for i, n in enumerate(gpus_gib)
        ),
    )
    asked = Request(
        model=truth.model(f"real/{name}"), settings=parse_settings(list(arguments))[0], machine=machine,
        budget=resolve_budget(budget, machine),
    )  # fmt: skip
    return plan(asked)


CASES = [
    pytest.param(("llama-3.1-8b", (8,), "-c", "65536"), {}, id="long-context"),
    pytest.param(("qwen3-30b-a3b", (12,), "-c", "16384"), {}, id="mixture"),
    pytest.param(("llama-3.3-70b", (24, 24), "-c", "32768"), {}, id="two-cards"),
    pytest.param(("gemma-3-27b", (), "-c", "65536"), {"ram_gib": 24}, id="ram-alone"),
    pytest.param(("llama-3.1-8b", (8,), "-c", "65536"), {"budget": "10GiB"}, id="one-pool"),
    pytest.param(("gemma-3-4b", (4,), "-c", "65536", "--swa-full", "-np", "4"), {}, id="whole-windows"),
]


@cache
def suggested(arguments, options):
    """The answer of one case, and what is suggested."""
    before = answer(*arguments, **dict(options))
    return before, suggest(before)


@pytest.mark.parametrize(("arguments", "options"), CASES)
def test_every_suggestion_is_a_full_plan_that_gains(arguments, options):
    before, found = suggested(arguments, tuple(options.items()))
    assert found
    for suggestion in found:
        after = plan(
            replace(before.request, settings=replace(before.request.settings, **suggestion.settings))
        )
        assert after == suggestion.plan
        assert after.fits == suggestion.fits
        needs = [
            sum(d.required_bytes for d in p.devices if suggestion.device in (d.name, "total"))
            for p in (before, after)
        ]
        assert suggestion.gained_bytes == needs[0] - needs[1] > 0
        assert suggestion.device == max(before.failures, key=lambda f: f.short_bytes).device


@pytest.mark.parametrize(("arguments", "options"), CASES)
def test_what_is_enough_comes_first_and_the_flag_means_the_settings(arguments, options):
    _, found = suggested(arguments, tuple(options.items()))
    enough = [s.fits for s in found]
    assert enough == sorted(enough, reverse=True)
    assert len({s.flag for s in found}) == len(found)
    own = list(arguments[2:])
    for suggestion in found:
        if "swa_full" in suggestion.settings:
            continue  # said by leaving --swa-full away
        typed = parse_settings(own + suggestion.flag.split())[0]
        assert typed == suggestion.plan.request.settings


def test_the_fewest_experts_move():
    best = suggest(answer("qwen3-30b-a3b", (12,), "-c", "16384"))[0]
    n = len(best.settings["tensor_buft_overrides"])
    assert best.fits
    assert best.flag == f"-ncmoe {n}"
    assert not answer("qwen3-30b-a3b", (12,), "-c", "16384", "-ncmoe", str(n - 1)).fits


def test_two_cards_may_do_without_the_copies_for_pipelining():
    before = answer("llama-3.3-70b", (24, 24), "-c", "22528")
    found = {s.flag: s for s in suggest(before)}["-ot no-pipelining=CPU"]
    assert found.fits
    assert (before.layout.compute.n_copies, found.plan.layout.compute.n_copies) == (4, 1)
    assert [d.weights_bytes for d in found.plan.devices] == [d.weights_bytes for d in before.devices]
    alone = suggest(answer("llama-3.1-8b", (8,), "-c", "65536"))
    assert all("no-pipelining" not in s.flag for s in alone)


def test_nothing_is_suggested_for_what_fits():
    assert suggest(answer("llama-3.2-1b", (24,), "-c", "8192")) == ()


def test_the_object_has_what_scripts_read():
    best = suggestion_object(suggest(answer("llama-3.1-8b", (8,), "-c", "65536"))[0])
    assert {"flag", "settings", "device", "gained_bytes", "fits", "cost"} <= set(best)
    assert best["device"] == "CUDA0"
    assert best["fits"] is True
