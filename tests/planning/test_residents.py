from __future__ import annotations

import pytest

from budget.errors import MachineError, UsageError
from budget.planning.budget import resolve_budget
from budget.planning.fit import plan
from budget.planning.residents import Resident, beside, claims, fit_together, parse_resident
from budget.runtime.settings import Settings
from plans import GiB, described, machine, request

RIG = machine(24)
CHAT = Resident(name="chat", usage={"CUDA0": 10 * GiB}, pid=7)


def test_a_resident_is_read_from_text():
    found = parse_resident("chat=ram:2GiB,CUDA0:10GiB", RIG)
    assert (found.name, found.usage) == ("chat", {"CPU": 2 * GiB, "CUDA0": 10 * GiB})
    assert found.total_bytes == 12 * GiB


@pytest.mark.parametrize("text", ["chat", "=ram:1GiB", "chat=", "chat=ram"])
def test_other_residents_are_refused(text):
    with pytest.raises(UsageError):
        parse_resident(text, RIG)


def test_a_resident_on_a_device_that_is_not_there_is_refused():
    with pytest.raises(MachineError, match="CUDA3"):
        parse_resident("chat=CUDA3:1GiB", RIG)


def test_what_a_process_holds_already_counts_once():
    live = {7: {"CUDA0": 4 * GiB}}
    measured, given = resolve_budget("auto", RIG), resolve_budget("vram=24GiB", RIG)
    assert claims(measured, [CHAT], live) == {"CUDA0": 6 * GiB}
    assert claims(given, [CHAT], live) == {"CUDA0": 10 * GiB}
    assert claims(measured, [CHAT], {7: {"CUDA0": 11 * GiB}}) == {"CUDA0": 0}


def test_a_replaced_model_gives_its_memory_back():
    # 24 GiB free beside the 10 that chat holds; the new model takes 8 + 20
    asked = request(described(), RIG, settings=Settings(n_ctx=20480))
    live = {7: {"CUDA0": 10 * GiB}}
    assert not plan(beside(asked, [CHAT], live=live)).fits
    assert plan(beside(asked, [CHAT], live=live, without=["chat"])).fits
    with pytest.raises(UsageError, match="no resident 'mail'"):
        beside(asked, [CHAT], without=["mail"])


def test_models_share_the_caps():
    small = request(described(weights_gib=4), RIG)  # 8 GiB each
    assert fit_together([small, small, small]).verdict == "fits"
    four = fit_together([small] * 4)
    assert four.verdict == "does_not_fit"
    assert [(f.device, f.required_bytes, f.available_bytes) for f in four.failures] == [
        ("CUDA0", 32 * GiB, 24 * GiB)
    ]
    assert [p.verdict for p in four.plans] == ["fits", "fits", "fits", "does_not_fit"]
    assert fit_together([small, small, small], [CHAT]).verdict == "does_not_fit"


def test_the_reserve_counts_once_and_the_overhead_for_each():
    from dataclasses import replace

    model = replace(request(described(weights_gib=4), RIG, reserve_bytes=4 * GiB), overhead_bytes=GiB)
    fleet = fit_together([model, model])
    assert fleet.usage == {"CUDA0": 2 * 9 * GiB, "CPU": 0}
    assert fleet.verdict == "fits"
    assert fit_together([replace(model, reserve_bytes=7 * GiB)] * 2).failures[0].short_bytes == GiB


def test_later_models_are_split_over_what_is_left():
    pair = machine(24, 8)
    first = request(described(weights_gib=12), pair, settings=Settings(n_ctx=4096, split_mode="none"))
    second = request(described(weights_gib=4), pair)
    fleet = fit_together([first, second])
    # 16 of CUDA0 are gone: 8 and 8 are left, so the second is halved
    assert fleet.plans[1].usage == {"CUDA0": 4 * GiB, "CUDA1": 4 * GiB, "CPU": 0}
    assert fleet.verdict == "fits"


def test_a_model_beside_those_that_fill_every_gpu_does_not_fit():
    pair = machine(8, 8)
    model = request(described(weights_gib=16), pair)  # 10 GiB on each
    fleet = fit_together([model, model])
    assert [(f.device, f.short_bytes) for f in fleet.failures] == [("CUDA0", 12 * GiB), ("CUDA1", 12 * GiB)]
    everything = Resident(name="all", usage={"CUDA0": 8 * GiB, "CUDA1": 8 * GiB})
    assert plan(beside(model, [everything])).verdict == "does_not_fit"


def test_the_reserve_of_every_device_that_any_model_uses_is_left_free():
    pair = machine(8, 8)
    on = [Settings(n_ctx=4096, devices=(name,)) for name in ("CUDA0", "CUDA1")]
    first, second = (request(described(4), pair, settings=s, reserve_bytes=GiB) for s in on)
    assert fit_together([first, second]).failures[0].device == "CUDA0"


def test_no_model_is_no_question():
    with pytest.raises(UsageError):
        fit_together([])
