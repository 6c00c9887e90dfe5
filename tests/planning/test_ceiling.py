from __future__ import annotations

from fractions import Fraction

import pytest

from budget.errors import UsageError
from budget.planning.ceiling import (
    auto_context,
    auto_context_of_curve,
    bound_of_longest,
    ceiling_of,
    context_ceiling,
    utilization,
)
from budget.planning.curve import line
from budget.runtime.settings import Settings
from plans import described, machine, request

ALL = Settings(n_ctx=0)


@pytest.mark.parametrize(
    ("limits", "n_ctx", "bound_by"),
    [
        ({}, None, "none"),
        ({"model": 32768}, 32768, "model"),
        ({"model": 32768, "requested": 8192}, 8192, "requested"),
        ({"model": 32768, "requested": 65536, "hardware": 40000}, 32768, "model"),
        ({"model": 32768, "hardware": 5120}, 5120, "hardware"),
        ({"model": 1 << 20, "runtime": 1 << 18}, 1 << 18, "runtime"),
        ({"model": 32768, "requested": 0}, 0, "requested"),
    ],
)
def test_the_smallest_limit_binds_and_is_named(limits, n_ctx, bound_by):
    found = context_ceiling(**limits)
    assert (found.n_ctx, found.bound_by) == (n_ctx, bound_by)


def test_negative_limits_are_refused():
    with pytest.raises(UsageError):
        context_ceiling(model=-1)


def test_the_ceilings_of_a_request_are_all_named():
    found = ceiling_of(request(described(), machine(24), settings=Settings(n_ctx=20480)))
    assert found.limits == {"model": 32768, "requested": 20480, "runtime": None, "hardware": 16384}
    assert (found.n_ctx, found.bound_by) == (16384, "hardware")


# 8 GiB of weights and 1 MiB per token: 24 GiB hold 16384 tokens, 80 GiB more than the 32768 that were trained
@pytest.mark.parametrize(
    ("gib", "n_ctx", "choose", "bound_by"),
    [
        pytest.param(24, 0, None, "hardware", id="memory"),
        pytest.param(80, 0, None, "model", id="trained"),
        pytest.param(80, 8192, None, "model", id="the-largest-is-looked-for-beyond-c"),
        pytest.param(24, 8192, None, "hardware", id="so-memory-binds-not-c"),
        pytest.param(80, 65536, None, "model", id="c-beyond-the-trained"),
        pytest.param(24, 8192, {}, "requested", id="a-chosen-context-keeps-to-c"),
        pytest.param(24, 20480, {}, "hardware", id="memory-below-c"),
        pytest.param(24, 0, {"share": Fraction(3, 4)}, "hardware", id="its-share"),
        pytest.param(
            24, 0, {"share": Fraction(1, 2), "floor": 8192}, "hardware", id="the-floor-beyond-its-share"
        ),
        pytest.param(80, 8192, {"align": 10240, "floor": 8192}, "requested", id="the-floor-that-is-c"),
        pytest.param(80, 0, {}, "model", id="chosen-trained"),
    ],
)
def test_what_keeps_the_largest_context_from_being_larger(gib, n_ctx, choose, bound_by):
    asked = request(described(), machine(gib), settings=Settings(n_ctx=n_ctx), budget=f"vram={gib}GiB")
    chosen = None if choose is None else auto_context(asked, **{"floor": 0} | choose)
    limits = ceiling_of(asked).limits
    assert bound_of_longest(asked, limits, chosen=chosen) == bound_by


def test_beyond_the_trained_context_memory_binds_or_nothing_does():
    asked = request(described(), machine(80), settings=ALL)
    limits = ceiling_of(asked, beyond_trained=True).limits
    assert (limits["model"], limits["hardware"]) == (32768, 72 * 1024)
    assert bound_of_longest(asked, limits, beyond_trained=True) == "hardware"
    endless = request(described(), machine(80), settings=ALL, budget="unlimited")
    limits = ceiling_of(endless, beyond_trained=True).limits
    assert bound_of_longest(endless, limits, beyond_trained=True) == "none"


def test_a_trained_context_that_is_no_whole_step_still_binds():
    # llama.cpp pads 1000 tokens to 1024 cells, which memory holds
    asked = request(described(n_ctx_train=1000), machine(80), settings=ALL)
    found = ceiling_of(asked)
    assert (found.limits["model"], found.limits["hardware"], found.bound_by) == (1000, 1024, "model")


CURVE = line(6144, 256)


@pytest.mark.parametrize(
    ("budget", "ceiling", "n_ctx", "fits", "by"),
    [
        pytest.param(1 << 40, 32768, 32768, True, "ceiling", id="ample"),
        pytest.param(1 << 40, 33000, 32768, True, "ceiling", id="aligned-down"),
        pytest.param(1_240_848, 32768, 4096, True, "utilization", id="85-percent-holds-4096"),
        pytest.param(1_240_000, 32768, 4096, True, "floor", id="the-floor-takes-from-the-rest"),
        pytest.param(1_054_720, 32768, 4096, True, "floor", id="to-the-byte"),
        pytest.param(1_054_719, 32768, 4096, False, "floor", id="not-even-the-floor"),
        pytest.param(0, 2048, 2048, False, "floor", id="ceiling-below-the-floor"),
        pytest.param(1 << 40, 0, 0, False, "ceiling", id="no-context-at-all"),
    ],
)
def test_a_context_is_chosen_inside_the_utilisation(budget, ceiling, n_ctx, fits, by):
    found = auto_context_of_curve(
        CURVE, budget, ceiling=ceiling, share=Fraction(85, 100), align=512, floor=4096
    )
    assert (found.n_ctx, found.fits, found.chosen_by) == (n_ctx, fits, by)


def test_a_real_request_is_filled_by_full_plans():
    # 24 GiB: all of it holds 16 x 1024 tokens; 75 % are 18 GiB, which hold 10 x 1024
    asked = request(described(), machine(24), settings=ALL, budget="vram=24GiB")
    assert auto_context(asked).n_ctx == 16384
    assert auto_context(asked, share=Fraction(3, 4), align=1).n_ctx == 10240
    assert auto_context(asked, share=Fraction(3, 4), align=4096).n_ctx == 8192
    floored = auto_context(asked, share=Fraction(3, 4), floor=16384)
    assert (floored.n_ctx, floored.fits, floored.chosen_by) == (16384, True, "floor")
    assert not auto_context(asked, floor=16640).fits


def test_a_given_context_is_the_ceiling():
    asked = request(described(), machine(24), settings=Settings(n_ctx=8192))
    assert auto_context(asked).n_ctx == 8192


@pytest.mark.parametrize(("text", "share"), [("0.85", Fraction(17, 20)), ("85%", Fraction(17, 20)), (1, 1)])
def test_a_utilisation_is_exact(text, share):
    assert utilization(text) == share


@pytest.mark.parametrize("text", ["0", "1.01", "-0.5", "101%", "much", "nan", "1/0", ""])
def test_other_utilisations_are_refused(text):
    with pytest.raises(UsageError):
        utilization(text)


@pytest.mark.parametrize("options", [{"align": 0}, {"floor": -1}])
def test_alignment_and_floor_must_make_sense(options):
    with pytest.raises(UsageError):
        auto_context(request(described(), machine(24)), **options)
