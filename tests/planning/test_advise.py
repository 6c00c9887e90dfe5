"""Advice keeps what is pinned, fits, and can be pasted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import truth
from bench.advise import TAGS, large_request, request_of
from budget.errors import UsageError
from budget.machine.device import Device, Host, Machine
from budget.planning.advise import advise
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.offload import gpu_weight_bytes
from budget.runtime.command_line import parse_command_line, parse_settings
from budget.runtime.rendering import to_command_line

GiB = 1 << 30
KEEP = frozenset({"n_ctx", "n_gpu_layers"})


def request(name, gpus_gib, *arguments, ram_gib=64, rate=None):
    """A request, and the names of what its arguments pin."""
    given_settings, explicit = parse_settings(list(arguments))
    machine = Machine(
        host=Host(ram_total_bytes=ram_gib * GiB, ram_available_bytes=ram_gib * GiB),
        devices=tuple(
            Device(
                name=f"CUDA{i}", compute_capability="8.9", total_bytes=int(n * GiB), free_bytes=int(n * GiB),
                bandwidth_bytes_per_second=rate,
            )
            for i, n in enumerate(gpus_gib)
        ),
    )  # fmt: skip
    asked = Request(
        model=truth.model(f"real/{name}"), settings=given_settings, machine=machine,
        budget=resolve_budget("auto", machine),
    )  # fmt: skip
    return asked, explicit


def pasted(answer):
    """The plan that the printed line leads to; equal requests have equal plans."""
    line = to_command_line(answer.request.settings, model="m.gguf", keep=KEEP)
    request = replace(answer.request, settings=parse_command_line(line, {}).settings)
    return answer if request == answer.request else plan(request)


FLAGS = {
    "-c": ["4096", "32768"], "-ngl": ["0", "7", "all"], "-ub": ["64", "512"], "-np": ["1", "3"],
    "-ctk": ["q8_0", "f16"], "-ts": ["1", "3,1"], "-ncmoe": ["2"], "-nkvo": [None], "-fa": ["on", "off"],
    "-no-kvu": [None], "-ot": ["ffn_down=CPU"],
}  # fmt: skip


@st.composite
def pinned_flags(draw):
    arguments = []
    for flag in draw(st.sets(st.sampled_from(sorted(FLAGS)), max_size=4)):
        value = draw(st.sampled_from(FLAGS[flag]))
        arguments += [flag] if value is None else [flag, value]
    return tuple(arguments)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(["llama-3.2-1b", "gpt-oss-20b", "gemma-3-4b", "qwen3-30b-a3b"]),
    gpus_gib=st.lists(st.sampled_from([1.5, 4, 10]), max_size=2),
    arguments=pinned_flags(),
    prefer=st.sampled_from(["context", "speed", "quality", "slots"]),
)
def test_pinned_stays_pinned_and_the_line_means_the_plan(name, gpus_gib, arguments, prefer):
    asked, explicit = request(name, gpus_gib, *arguments)
    try:
        plan(asked)
    except UsageError:
        assume(False)  # llama.cpp refuses them: more shares than devices, say
    advice = advise(asked, explicit, prefer=prefer)
    choices = [c for c in (advice.best, *advice.alternatives) if c is not None]
    assert choices or not advice.asked.fits
    for choice in choices:
        assert choice.plan.fits
        for field in explicit:
            assert getattr(choice.plan.request.settings, field) == getattr(asked.settings, field)
        assert plan(choice.plan.request).layout == choice.plan.layout
        again = pasted(choice.plan)
        assert again.layout == choice.plan.layout
        assert again.fits


ROWS = [r for r in truth.rows() if r["tag"] in TAGS]
HARD = {
    ("glm-4.5-air", "fit24"),
    ("llama-4-scout", "fit8"),
    ("qwen3-next-80b-a3b", "fit24"),
    ("olmo2-13b", "fit8"),
}


@pytest.mark.parametrize(
    "row", [pytest.param(r, id=f"{r['model'][5:]}-{r['tag']}") for r in ROWS if (r["model"][5:], r["tag"]) in HARD]
)  # fmt: skip
def test_at_least_as_many_weights_on_gpus_as_llama_cpp_puts_there(row):
    asked = request_of(row)
    best = advise(asked, frozenset({"n_ctx"})).best
    assert best is not None
    assert plan(best.plan.request).fits
    assert best.n_ctx == row["n_ctx"]
    theirs = sum(b["model"] for b in row["buffers"].values() if not b["host"])
    assert gpu_weight_bytes(best.plan.layout) >= theirs


def test_a_large_mixture_on_four_cards_takes_few_plans(monkeypatch):
    from budget.planning import fit, offload, variants

    n = 0

    def counted(*arguments, **options):
        nonlocal n
        n += 1
        return fit_plan(*arguments, **options)

    fit_plan = fit.plan
    for module in (fit, offload, variants):
        monkeypatch.setattr(module, "plan", counted)
    best = advise(large_request(4, 22, n_ctx=16384), frozenset({"n_ctx"})).best
    assert best is not None
    assert best.plan.fits
    assert n <= 20


def test_the_answer_is_the_same_every_time():
    asked, explicit = request("qwen3-30b-a3b", (6, 6), "-c", "16384")
    first, second = (advise(asked, explicit) for _ in range(2))
    assert first == second


def test_what_fits_as_it_is_stays_and_costs_nothing():
    asked, explicit = request("llama-3.2-1b", (24,))
    advice = advise(asked, explicit)
    assert advice.best is not None
    assert (advice.best.n_ctx, advice.best.costs, advice.alternatives) == (131072, (), ())
    assert advice.best.plan.request.settings.fit is False


def test_speed_never_pays_with_quality_and_context_is_at_least_the_minimum():
    asked, explicit = request("llama-3.1-8b", (8,))
    best = advise(asked, explicit, ctx_min=10000).best
    assert best is not None
    assert best.n_ctx >= 10000
    assert best.plan.request.settings.type_k == "f16"
    assert best.plan.layout.placement.n_gpu_layers == 33


def test_preferring_context_reaches_the_trained_one():
    asked, explicit = request("llama-3.1-8b", (8,))
    best = advise(asked, explicit, prefer="context").best
    assert best is not None
    assert best.n_ctx == 131072
    assert best.costs


def test_preferring_slots_gives_each_the_least_context():
    asked, explicit = request("llama-3.1-8b", (24,))
    best = advise(asked, explicit, prefer="slots", ctx_min=8192).best
    assert best is not None
    assert best.n_slots >= 16
    assert best.n_ctx >= best.n_slots * 8192


def test_pipelining_is_given_up_before_context_and_said_to_cost_prompts():
    asked, explicit = request("llama-3.3-70b", (24, 24), "-c", "22528", "-ub", "512", rate=10**12)
    best = advise(asked, explicit).best
    assert best is not None
    assert best.plan.layout.compute.n_copies == 1
    assert best.costs == ("speed: GPUs take turns on prompts instead of sharing them",)
    kept, explicit = request("llama-3.3-70b", (24, 24), "-c", "22528", "-ub", "512", "-ot", "none=CPU")
    assert advise(kept, explicit).best.costs == ()


def test_no_alternative_is_worse_than_another_at_everything():
    asked, explicit = request("llama-3.1-8b", (8,))
    advice = advise(asked, explicit)
    assert advice.best is not None
    merits = [
        (c.n_ctx, gpu_weight_bytes(c.plan.layout), c.plan.request.settings.type_k == "f16")
        for c in (advice.best, *advice.alternatives)
    ]
    assert len(set(merits)) == len(merits) > 3
    beaten = [a for a in merits for b in merits if a != b and all(x <= y for x, y in zip(a, b, strict=True))]
    assert beaten == []


def test_where_a_bandwidth_is_missing_weights_decide_and_a_note_says_so():
    asked, explicit = request("llama-3.1-8b", (4,), "-c", "8192")
    advice = advise(asked, explicit)
    assert advice.ranked_by == "weights"
    assert "CPU, CUDA0" in advice.notes[0]
    fast, explicit = request("llama-3.1-8b", (4,), "-c", "8192", rate=10**12)
    advice = advise(fast, explicit, rates={"CPU": 50 * 10**9})
    assert advice.ranked_by == "speed"
    assert advice.best is not None
    assert advice.best.speed.tokens_per_second is not None


def test_nothing_fits_where_even_ram_is_too_small():
    asked, explicit = request("llama-3.3-70b", (8,), ram_gib=8)
    advice = advise(asked, explicit)
    assert advice.best is None
    assert advice.asked.failures
