"""Gates: what TOML's tables mean, and whether a plan meets what is expected."""

from __future__ import annotations

import pytest

from budget.errors import BadModelError, ExitCode, MachineError, UsageError
from budget.planning.fit import plan
from budget.planning.gate import Case, MachineText, Result, exit_code, judge, parse_expectation, parse_gate
from plans import described, machine, request

ONE = {"model": "m.gguf", "machine": {"gpu": "24GiB", "ram": "64GiB"}, "fits": True}


def cases(**tables):
    return parse_gate({"gate": [ONE], **tables})


def test_every_model_on_every_machine_with_every_settings_is_a_case():
    found = parse_gate(
        {
            "models": {"small": "s.gguf", "large": "hf://user/repo:Q4_K_M"},
            "machines": {"desk": {"gpu": ["24GiB", "12GiB"], "ram": "64GiB"}, "rig": "rig.json"},
            "settings": {"chat": "-c 8k", "long": "-c 64k"},
            "gate": [
                {
                    "name": "all",
                    "models": ["small", "large"],
                    "machines": ["desk", "rig"],
                    "settings": ["chat", "long"],
                    "expect": ["fits"],
                }
            ],
        }
    )
    assert len(found) == 8
    assert [c.model for c in found] == ["s.gguf"] * 4 + ["hf://user/repo:Q4_K_M"] * 4
    assert found[0].machine == MachineText(name="desk", gpus=("24GiB", "12GiB"), ram="64GiB")
    assert found[2].machine == MachineText(name="rig", file="rig.json")
    assert found[1].settings == "-c 64k"
    assert found[7].name == "all (large, rig, long)"


def test_a_gate_says_more_than_the_defaults():
    (case,) = parse_gate(
        {"defaults": {"machine": "here", "reserve": "1GiB", "settings": "-c 4k"}, "gate": [ONE | {"reserve": "2GiB"}]}
    )  # fmt: skip
    assert case.machine.gpus == ("24GiB",)
    assert (case.options, case.settings) == ({"reserve": "2GiB"}, "-c 4k")


def test_here_is_this_machine():
    (case,) = parse_gate({"gate": [{"model": "m.gguf", "machine": "here", "fits": True}]})
    assert case.machine == MachineText(name="here")


@pytest.mark.parametrize(
    ("text", "left", "operator", "right"),
    [
        ("fits", "fits", "=", True),
        ("fits = true", "fits", "=", True),
        ("fits=false", "fits", "=", False),
        ("does_not_fit", "fits", "=", False),
        ("verdict = unknown", "verdict", "=", "unknown"),
        ("max_ctx >= 32768", "max_ctx", ">=", 32768),
        ("max_ctx >= 32k", "max_ctx", ">=", 32768),
        ("CUDA0 <= 22GiB", "CUDA0", "<=", 22 << 30),
        ("CUDA0.extras = 0", "CUDA0.extras", "=", 0),
        ("CUDA0.context < 1.5GiB", "CUDA0.context", "<", 3 << 29),
        ("RPC0[host:50052] <= 1GiB", "RPC0[host:50052]", "<=", 1 << 30),
        ("vram.left >= 512MiB", "vram.left", ">=", 512 << 20),
    ],
)
def test_an_expectation_is_read(text, left, operator, right):
    found = parse_expectation(text)
    assert (found.left, found.operator, found.right) == (left, operator, right)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "such as"),
        ("CUDA0", "such as"),
        ("fits = yes", "fits = true"),
        ("fits >= true", "fits = true"),
        ("max_ctx >= many", "whole number"),
        ("CUDA0 <= 22 gigs", "GiB"),
        ("CUDA0 <= 22", "such as 22GiB"),
        ("CUDA0.contxt <= 1GiB", "did you mean context"),
        ("verdict = good", "does_not_fit"),
    ],
)
def test_a_condition_that_means_nothing_is_quoted_with_what_to_write(text, words):
    with pytest.raises(UsageError) as e:
        parse_expectation(text)
    assert repr(text) in e.value.message
    assert words in e.value.hint


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        ({}, "no [[gate]]", "--init"),
        ({"gates": [ONE]}, "no key 'gates'", "did you mean gate?"),
        ({"gate": ONE}, "[gate] is a single table", "[[gate]] with two brackets"),
        ({"gate": [ONE | {"modle": "x"}]}, "no key 'modle'", "did you mean model?"),
        ({"gate": [ONE], "defaults": {"resrve": "1GiB"}}, "[defaults] has no key 'resrve'", "reserve"),
        ({"gate": [{"model": "x", "fits": True}]}, "no machine", "here"),
        ({"gate": [{"machine": "here", "fits": True}]}, "no model", "model.gguf"),
        ({"gate": [{"model": "x", "machine": "here"}]}, "expects nothing", "fits = true"),
        ({"gate": [ONE | {"fits": "yes"}]}, "fits is 'yes'", "fits = true"),
        ({"gate": [ONE | {"expect": [3.5]}]}, "3.5", "quotes"),
        ({"gate": [ONE | {"machine": {"gpu": "24GiB"}}]}, "says nothing of its RAM", "ram"),
        ({"gate": [ONE | {"machine": {"gpus": "24GiB", "ram": "1GiB"}}]}, "no key 'gpus'", "gpu"),
        ({"models": ["x"], "gate": [ONE]}, "models is not a table", "[models]"),
    ],
)
def test_a_file_that_makes_no_sense_says_where_and_what_next(data, message, hint):
    with pytest.raises(UsageError) as e:
        parse_gate(data)
    assert message in e.value.message
    assert hint in e.value.hint


def test_expectations_are_a_list_a_table_or_keys():
    listed = cases(gate=[ONE | {"expect": ["max_ctx >= 4096", "CUDA0 <= 1GiB"]}])[0].expectations
    table = cases(gate=[ONE | {"expect": {"max_ctx": ">= 4096", "CUDA0": "<= 1GiB"}}])[0].expectations
    assert listed == table
    assert [e.text for e in listed] == ["fits = true", "max_ctx >= 4096", "CUDA0 <= 1GiB"]


# 8 GiB of weights and 1 MiB per token: 12 GiB at 4096 tokens, of 16 GiB
ANSWER = plan(request(described(), machine(16)))


def outcome(text, answer=ANSWER, max_ctx=8192):
    case = Case(
        name="x", gate=0, model="m", machine=MachineText(name="here"), settings="",
        expectations=(parse_expectation(text),),
    )  # fmt: skip
    (found,) = judge(case, answer, lambda: max_ctx).outcomes
    return found.status, found.actual


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fits", ("passed", "it fits")),
        ("fits = false", ("failed", "it fits")),
        ("verdict = fits", ("passed", "fits")),
        ("max_ctx >= 8192", ("passed", "8192")),
        ("max_ctx > 8192", ("failed", "8192")),
        ("n_ctx = 4096", ("passed", "4096")),
        ("CUDA0 <= 12GiB", ("passed", "12.00 GiB")),
        ("CUDA0 < 12GiB", ("failed", "12.00 GiB")),
        ("cuda0.weights = 8GiB", ("passed", "8.00 GiB")),
        ("CUDA0.context != 4GiB", ("failed", "4.00 GiB")),
        ("CUDA0.left >= 4GiB", ("passed", "4.00 GiB")),
        ("CUDA0.available = 16GiB", ("passed", "16.00 GiB")),
        ("vram <= 12GiB", ("passed", "12.00 GiB")),
        ("ram <= 1MiB", ("passed", "0 B")),
        ("total >= 12GiB", ("passed", "12.00 GiB")),
    ],
)
def test_a_plan_is_held_against_an_expectation(text, expected):
    assert outcome(text) == expected


def test_what_does_not_fit_says_by_how_much():
    short = plan(request(described(), machine(10)))
    assert outcome("fits", short) == ("failed", "it does not fit: CUDA0 short by 2.00 GiB")
    assert outcome("max_ctx >= 4096", short, max_ctx=None) == ("failed", "no context fits")


def test_unknown_never_passes():
    unknown = plan(request(described(kv_bytes_per_token=None), machine(16)))
    assert unknown.verdict == "unknown"
    for text in ("fits", "fits = false", "max_ctx >= 1", "CUDA0 <= 99GiB"):
        status, actual = outcome(text, unknown)
        assert status == "unknown"
        assert "not known" in actual


def test_a_device_that_is_not_there_is_an_error_with_the_nearest():
    with pytest.raises(MachineError) as e:
        outcome("CUDA1 <= 1GiB")
    assert "did you mean CUDA0" in e.value.hint


def test_the_largest_context_is_searched_only_where_it_is_expected():
    case = Case(
        name="x", gate=0, model="m", machine=MachineText(name="here"), settings="",
        expectations=(parse_expectation("fits"),),
    )  # fmt: skip
    assert judge(case, ANSWER, lambda: pytest.fail("searched")).max_ctx is None


def result(status):
    case = cases()[0]
    if status == "error":
        return Result(case=case, error=BadModelError("cannot be read"))
    text = {"passed": "fits", "failed": "fits = false"}[status]
    tested = Case(
        name="x",
        gate=0,
        model="m",
        machine=case.machine,
        settings="",
        expectations=(parse_expectation(text),),
    )
    return judge(tested, ANSWER, lambda: None)


@pytest.mark.parametrize(
    ("statuses", "code"),
    [
        (["passed"], ExitCode.OK),
        (["passed", "failed"], ExitCode.DOES_NOT_FIT),
        (["error", "failed"], ExitCode.DOES_NOT_FIT),
        (["passed", "error"], ExitCode.BAD_MODEL),
    ],
)
def test_the_exit_code_is_that_of_the_worst(statuses, code):
    assert exit_code([result(s) for s in statuses]) == code
