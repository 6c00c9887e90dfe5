"""What one answer says must agree with itself and with what was asked."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

import truth
from budget.schema import SCHEMAS
from ghost import write_ghost
from inprocess import CARD, S, budget


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        pytest.param(
            f"fit {S} --budget 12GiB -dev CUDA0,CUDA0 --gpu 24GiB -c 8k",
            2,
            "CUDA0 is named twice",
            id="device-twice",
        ),
        pytest.param(
            f"fit {S} -dev CUDA0,cuda0 --gpu 24GiB -c 8k", 2, "cuda0 is named twice", id="whatever-the-case"
        ),
        pytest.param(
            f"fit {S} -md {S} -devd CUDA0,CUDA0 {CARD}", 2, "-devd CUDA0,CUDA0", id="draft-device-twice"
        ),
        pytest.param(
            f"fit {S} {CARD} -- llama-server -m other.gguf", 2, "names other.gguf", id="model-twice"
        ),
        pytest.param(
            f"fit {S} {CARD} -- llama-server -hf user/repo", 2, "hf://user/repo", id="model-and-repository"
        ),
        pytest.param(
            f"fit {S} {CARD} --params 8B --layers 32", 2, "--params --layers", id="model-and-description"
        ),
    ],
)
def test_what_says_two_things_is_refused(line, code, words):
    found, _, err = budget(line)
    assert (found, words in err) == (code, True), err


@pytest.mark.parametrize("line", [f"-m {S} -c 4096", "-c 4096"])
def test_a_model_before_the_line_may_be_the_one_in_it(line):
    assert budget(f"fit {S} {CARD} -- llama-server {line}")[0] == 0


def test_the_model_of_the_environment_gives_way_to_the_one_named():
    assert budget(f"fit {S} {CARD} -- llama-server -c 4096", LLAMA_ARG_MODEL="other.gguf")[0] == 0


POOL = f"fit {S} --budget 100GiB {CARD} -c 128k"


def test_a_pool_says_which_device_would_hold_more_than_it_has():
    code, out, _ = budget(f"{POOL} --json")
    answer = json.loads(out)
    assert (code, answer["verdict"]) == (0, "fits")
    (note,) = [n for n in answer["notes"] if "one pool" in n]
    assert "CUDA0 would hold 21.11 GiB and has 8.00 GiB" in note
    assert "CPU" not in note
    assert "one pool" not in budget(f"fit {S} --budget 100GiB --gpu 24GiB --ram 16GiB -c 8k --json")[1]


@pytest.mark.parametrize("pool", ["100GiB", "7GiB"])
def test_the_pool_is_a_row_of_csv(pool):
    code, out, _ = budget(f"fit {S} --budget {pool} {CARD} -c 16k --format csv")
    *devices, total = csv.DictReader(out.splitlines())
    assert total["name"] == "total"
    assert int(total["required_bytes"]) == sum(int(d["required_bytes"]) for d in devices)
    assert total["fits"] == ("true" if code == 0 else "false")
    assert int(total["available_bytes"]) == int(pool.removesuffix("GiB")) << 30


def test_a_main_model_that_leaves_nothing_to_a_draft_does_not_fit():
    code, out, err = budget(f"fit sample:llama-3.3-70b --gpu '2x 24GiB' --ram 64GiB -c 8k -md {S} --json")
    assert code == 3, err
    assert {f["device"] for f in json.loads(out)["failures"]} == {"CUDA0", "CUDA1"}


NUMBERS = "--params 8.2B --quant Q4_K_M"
SHAPE = f"{NUMBERS} --layers 36 --kv-heads 8 --head-dim 128"


def test_what_a_described_model_does_not_say_is_null():
    _, out, _ = budget(f"inspect {NUMBERS} --json")
    answer = json.loads(out)
    for key in (
        "n_ctx_train", "n_layer", "n_embd", "n_head", "n_head_kv", "n_embd_head_k", "n_tensors", "gguf_version",
    ):  # fmt: skip
        assert answer[key] is None, key
    assert answer["tensor_bytes"] == int(8_200_000_000 * 4.8944 / 8)
    SCHEMAS["inspect"].model_validate(answer)
    said = json.loads(budget(f"inspect {SHAPE} --ctx-train 32k --json")[1])
    assert (said["n_layer"], said["n_head_kv"], said["n_ctx_train"]) == (36, [8] * 36, 32768)
    screen = budget(f"inspect {NUMBERS}")[1]
    assert "trained context   not known" in screen
    assert " 0" not in screen


def test_a_fit_of_a_described_model_says_what_it_leaves_out():
    _, out, _ = budget(f"fit {NUMBERS} {CARD} -c 8k --json")
    answer = json.loads(out)
    assert (answer["model"]["n_layer"], answer["model"]["n_ctx_train"]) == (None, None)
    SCHEMAS["fit"].model_validate(answer)
    assert any("compute buffers are not known and not counted" in note for note in answer["notes"])
    counted = json.loads(budget(f"fit {SHAPE} --fixed-bytes 300MiB {CARD} -c 8k --json")[1])
    assert not any("not counted" in note for note in counted["notes"])
    assert "layers not known" in budget(f"fit {NUMBERS} {CARD} -c 8k")[1]


def test_a_described_model_needs_no_trained_context_where_a_context_is_looked_for():
    code, out, _ = budget(f"max-ctx {SHAPE} {CARD}")
    n_ctx = int(out)
    assert code == 0
    assert budget(f"fit {SHAPE} {CARD} -c {n_ctx}")[0] == 0
    assert budget(f"fit {SHAPE} {CARD} -c {n_ctx + 256}")[0] == 3
    assert f"largest context that fits: {n_ctx:,}" in budget(f"sweep {SHAPE} {CARD}")[1]
    assert f"-c {n_ctx} " in budget(f"advise {SHAPE} {CARD} --line")[1]
    assert budget(f"request {SHAPE} {CARD} --used {n_ctx + 1}")[0] == 3


def test_a_described_model_says_what_its_cache_needs():
    code, out, err = budget(f"max-ctx {NUMBERS} {CARD}")
    assert (code, out) == (7, "")
    assert "--layers, --kv-heads and --head-dim, or --kv-bytes-per-token" in err
    assert "layers not known" in budget(f"sweep {NUMBERS} --kv-bytes-per-token 1KiB {CARD} --ctx 4k")[1]


def test_a_described_model_cannot_be_placed():
    code, out, err = budget(f"place {SHAPE} {CARD} -c 8k --json")
    assert (code, out) == (7, "")
    assert "are not known" in err


def test_the_readme_describes_a_model_with_all_that_fit_needs():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (options,) = re.findall(r"`(--params [^`]*)`", readme)
    assert budget(f"fit {options} --gpu 8GiB --ram 16GiB")[0] == 0


@pytest.fixture(name="sizeless")
def _sizeless(tmp_path):
    """A machine whose sizes nobody knows."""
    card = {
        "name": "CUDA0",
        "kind": "gpu",
        "backend": "cuda",
        "description": "a card",
        "compute_capability": "8.9",
    }
    machine = {
        "schema": "budget/machine/v1",
        "host": {"ram_total_bytes": None, "ram_available_bytes": None, "cpu_features": ["avx2"]},
        "devices": [card | {"total_bytes": None, "free_bytes": None}],
    }
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(machine), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("command", "first"),
    [
        pytest.param("advise", f"UNKNOWN: {S}", id="advise"),
        pytest.param("advise --line", "not known:", id="advise-line"),
        pytest.param("fit", f"UNKNOWN: {S}", id="fit"),
    ],
)
def test_unknown_memory_is_unknown_and_says_what_to_give(command, first, sizeless):
    code, out, err = budget(f"{command} {S} --machine {sizeless} -c 8k")
    text = out + err
    assert code == 7
    assert text.startswith(first)
    assert "--budget CUDA0=SIZE,ram=SIZE, or describe the machine: --gpu SIZE --ram SIZE" in text


@pytest.mark.parametrize(
    "line",
    [
        "fit {S}", "fit {S} {S}", "fit {S} --evict --resident a=ram:1GiB", "max-ctx {S}", "max-ctx {S} --align 4k",
        "advise {S}", "request {S} --used 100", "sweep {S} --ngl 0,8,all", "sweep {S} --ngl 8,all",
        "sweep {S} --ctx 4k", "sweep {S} --ctx 4k --kv f16,q8_0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("n_cards", [1, 2])
def test_memory_that_no_device_reports_is_exit_7(line, n_cards, tmp_path):
    cards = [{"name": f"CUDA{i}", "kind": "gpu", "backend": "cuda"} for i in range(n_cards)]
    host = {"ram_total_bytes": 32 << 30, "ram_available_bytes": 32 << 30}
    path = tmp_path / "machine.json"
    path.write_text(
        json.dumps({"schema": "budget/machine/v1", "host": host, "devices": cards}), encoding="utf-8"
    )
    without_cards = " --budget ram=1GiB" if "0,8" in line else ""  # -ngl 0 is planned, and must not fit
    assert budget(line.format(S=S) + f" --machine {path}{without_cards}")[0] == 7


def test_a_sweep_that_llama_cpp_refuses_is_no_unknown_answer():
    assert budget(f"sweep {S} {CARD} --ngl 1..8 -ts 1,2")[0] == 2


def test_unknown_memory_is_known_with_what_it_said_to_give(sizeless):
    assert budget(f"fit {S} --machine {sizeless} -c 8k --budget CUDA0=8GiB,ram=16GiB")[0] == 0


def test_the_longest_context_of_all_is_one_that_c_takes(tmp_path):
    path = tmp_path / "mamba2.gguf"
    write_ghost(truth.specs()["real/mamba2-codestral-7b"], path)
    code, out, err = budget(f"max-ctx {path} --gpu 24GiB --ram 64GiB --beyond-trained --explain")
    assert (code, out) == (0, "2147483392\n")
    assert "the most that -c takes" in err
    assert "trained" not in err
    assert budget(f"fit {path} --gpu 24GiB --ram 64GiB -c 2147483392")[0] == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param("--ctx-min 10000000", "10,000,000 is more than the 131,072 tokens", id="beyond-trained"),
        pytest.param(
            "--ctx-min 100000 -c 8k", "more than the context of 8,192 that -c gives", id="beyond-asked"
        ),
    ],
)
def test_advice_never_goes_below_its_least_context(line, words):
    code, out, _ = budget(f"advise {S} {CARD} {line}")
    assert code == 3
    assert words in out
    assert "llama-server" not in out


def test_advice_that_finds_nothing_shows_the_smallest_plan():
    code, out, _ = budget("advise sample:llama-3.3-70b --gpu 8GiB --ram 24GiB --json")
    answer = json.loads(out)
    assert code == 3
    smallest, weights = answer["notes"]
    assert "context 4,096, K/V q8_0/q8_0, -ngl " in smallest
    assert "CUDA0" not in smallest  # the card holds what it can; RAM is what falls short
    assert weights == "the weights alone are 39.55 GiB, the machine may use 27.20 GiB"


def test_a_context_beyond_the_trained_one_says_so():
    code, out, _ = budget(f"fit {S} --gpu 48GiB --ram 64GiB -c 200k")
    assert code == 0
    assert "Largest context that fits of those it was trained for: 131,072" in out
    assert "204,800 tokens is beyond the 131,072 that the model was trained with" in out
    assert "beyond" not in budget(f"fit {S} --gpu 48GiB --ram 64GiB -c 128k")[1]


def test_suggestions_agree_with_the_largest_context():
    _, out, _ = budget(f"fit {S} --gpu 24GiB --ram 64GiB -c 300k --json")
    answer = json.loads(out)
    contexts = [s["settings"]["n_ctx"] for s in answer["suggestions"] if "n_ctx" in s["settings"]]
    assert contexts == [answer["max_ctx"]] == [131072]


def test_nothing_that_cannot_help_is_suggested():
    line = "fit sample:llama-3.3-70b --gpu 8GiB --gpu 12GiB"
    _, out, _ = budget(f"{line} --ram 16GiB -c 128k --json")
    answer = json.loads(out)
    assert answer["suggestions"] == []
    assert "the weights alone are 39.55 GiB, the machine may use 32.80 GiB" in answer["notes"]
    _, out, _ = budget(f"{line} --ram 64GiB -c 128k --json")
    assert "-ngl" not in {s["flag"].split()[0] for s in json.loads(out)["suggestions"]}
    screen = budget(f"{line} --ram 64GiB -c 128k")[1]
    assert "No context fits with these settings." in screen
    assert "budget advise looks for them" in screen


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param("", "would shorten the context and move layers to RAM", id="both"),
        pytest.param("-c 64k", "would move layers to RAM", id="layers"),
        pytest.param("-ngl 99", "would shorten the context rather", id="context"),
        pytest.param("-ngl 99 -c 64k", None, id="neither"),
        pytest.param("-fit off", None, id="off"),
        pytest.param("-c 8k", None, id="fits"),
    ],
)
def test_what_llama_cpp_would_do_by_itself(flags, words):
    notes = [n for n in json.loads(budget(f"fit {S} {CARD} {flags} --json")[1])["notes"] if "--fit" in n]
    assert (words is None and not notes) or words in notes[0]


def test_inexact_parts_are_named_once():
    out = budget(f"fit {S} --gpu m3-max:64GiB -c 8k")[1]
    assert "weights, context and compute are formulas that were not checked on this backend" in out


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        pytest.param(
            "--align 100000", 3, "at most 24,320 tokens fit, which is no multiple of 100000", id="align"
        ),
        pytest.param("--floor 64k", 3, "no context of 65,536 tokens or more fits:\nCUDA0: needs", id="floor"),
        pytest.param("--utilization 0.3", 3, "into 0.3 of the budget", id="share"),
        pytest.param("--min-hot-context 32k", 3, "24,320 tokens fit, below the smallest useful", id="window"),
        pytest.param("--min-hot-context 16k", 0, "", id="window-held"),
    ],
)
def test_no_context_says_why(options, code, words):
    found, out, err = budget(f"max-ctx {S} {CARD} {options}")
    assert (found, bool(out)) == (code, code == 0)
    assert words in err
    assert not err.endswith(":\n")


@pytest.fixture(name="kept")
def _kept(tmp_path):
    """Two kept answers, of machines of two sizes."""
    paths = []
    for size in ("8GiB", "24GiB"):
        path = tmp_path / f"{size}.json"
        path.write_text(budget(f"fit {S} --gpu {size} --ram 16GiB -c 8k --json")[1], encoding="utf-8")
        paths.append(path)
    return paths


def test_a_comparison_of_two_machines_says_so(kept):
    a, b = kept
    facts = {f["name"]: (f["a"], f["b"]) for f in json.loads(budget(f"diff {a} {b} --json")[1])["facts"]}
    assert facts == {"devices": ("CUDA0 8.00 GiB, CPU 12.80 GiB", "CUDA0 24.00 GiB, CPU 12.80 GiB")}
    assert json.loads(budget(f"diff {a} {a} --json")[1])["facts"] == []


@pytest.mark.parametrize("option", ["-c 8k", "--gpu 24GiB", "--budget 4GiB"])
def test_settings_beside_two_kept_answers_are_refused(option, kept):
    code, _, err = budget(f"diff {kept[0]} {kept[1]} {option}")
    assert code == 2
    assert f"{option.split()[0]} changes nothing" in err


def test_a_chip_that_is_a_whole_machine_needs_no_ram_in_a_gate(tmp_path):
    gate = tmp_path / "GATE.toml"
    text = (
        '[[gate]]\nmodel = "sample:llama-3.1-8b"\nmachine = {{gpu = "{}"}}\nsettings = "-c 8k"\nfits = true\n'
    )
    gate.write_text(text.format("m3-max:64GiB"), encoding="utf-8")
    assert budget(f"check {gate}")[0] == 0
    gate.write_text(text.format("rtx-4090"), encoding="utf-8")
    code, _, err = budget(f"check {gate}")
    assert (code, "says nothing of its RAM" in err) == (2, True)


SLIM = "--params 8B --bpw 4 --kv-bytes-per-token 128KiB --gpu 24GiB --ram 32GiB"
"""A model described by numbers that say nothing of its layers or of what it was trained with."""


@pytest.mark.parametrize("line", ["fit -c 8k", "sweep --ctx 8k", "sweep -c 8k --ngl 0,all"])
def test_layers_that_nobody_gave_are_not_known(line):
    command, _, rest = line.partition(" ")
    answer = json.loads(budget(f"{command} {SLIM} {rest} --json")[1])
    assert (answer["model"]["n_layer"], answer["model"]["n_ctx_train"]) == (None, None)
    shown = budget(f"{command} {SLIM} {rest}")[1]
    assert "layers not known" in shown
    assert "1 layer" not in shown


def test_layers_that_were_given_are_in_a_sweep_too():
    answer = json.loads(budget(f"sweep {SLIM} --layers 36 --ctx 8k --json")[1])
    assert answer["model"]["n_layer"] == 36


def test_a_trained_context_that_nobody_gave_is_not_known():
    answer = json.loads(budget(f"max-ctx {SLIM} -c 8k --json")[1])
    assert answer["n_ctx_train"] is answer["limits"]["model"] is answer["capacity"]["n_ctx_model"] is None
    assert answer["bound_by"] == "hardware"


@pytest.mark.parametrize(
    ("flags", "bound_by"),
    [
        ("-c 4k", "hardware"),
        ("-c 256k", "hardware"),
        ("-c 4k --gpu 80GiB", "model"),
        ("-c 4k --gpu 80GiB --beyond-trained", "hardware"),
        ("-c 4k --utilization 0.9", "requested"),
        ("--utilization 0.9", "hardware"),
        ("--budget 2GiB", "hardware"),
    ],
)
def test_what_bounds_the_largest_context_is_the_limit_next_to_it(flags, bound_by):
    card = "--ram 32GiB" if "80GiB" in flags else CARD
    answer = json.loads(budget(f"max-ctx {S} {card} {flags} --json")[1])
    assert answer["bound_by"] == bound_by
    longest, limit = answer["max_ctx"], answer["limits"][bound_by]
    if longest is None:
        assert limit == 0
    elif "--utilization 0.9" in flags and bound_by == "hardware":
        assert longest < limit
    else:
        assert longest == limit


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("", "CUDA0 binds: 7.98 GiB of 8.00 GiB at 24,320 tokens; 256 tokens more are short by 7.4 MiB\n"),
        ("-c 4k --utilization 0.9", "4,096 tokens are what -c asks for\n"),
        (
            "-c 5000 --utilization 0.9",
            "what -c asks for; 4,864 is the largest multiple of 256 below (--align)\n",
        ),
        (
            "--utilization 80%",
            "CUDA0 binds: 6.37 GiB of 6.40 GiB at 11,264 tokens; 256 tokens more are short by",
        ),
        ("--utilization 80%", "(--utilization 0.8)\n"),
        (
            "--align 4k",
            "24,320 tokens; 256 tokens more are short by 7.4 MiB; 20,480 is the largest multiple of 4k",
        ),
        (
            "--floor 16k --utilization 0.1",
            "16,384 tokens are what --floor asks for; none would fit otherwise",
        ),
        ("--gpu 80GiB", "131,072 tokens are what the model was trained with"),
        ("--gpu 80GiB", "memory would allow more (--beyond-trained)\n"),
        ("--gpu 80GiB --align 100k", "102,400 is the largest multiple of 100k below (--align)\n"),
    ],
)
def test_what_binds_is_said_as_it_is(flags, words):
    card = "--ram 32GiB" if "80GiB" in flags else CARD
    code, _, err = budget(f"max-ctx {S} {card} {flags} --explain")
    assert code == 0
    assert words in err
    assert ("trained" in err) is ("80GiB" in flags)


def test_a_context_that_is_chosen_is_not_looked_for_beyond_the_trained_one():
    assert budget(f"max-ctx {S} {CARD} --align 4k --beyond-trained")[0] == 2


def test_the_smallest_context_is_the_same_wherever_none_fits():
    short = "short by 3.96 GiB"
    line = f"{S} --gpu 1GiB --ram 1GiB"
    assert short in budget(f"max-ctx {line}")[2]
    assert short in budget(f"sweep {line} --ctx 4k")[1]


def test_a_sweep_names_the_micro_batch_that_is_not_cut_to_a_short_context():
    assert "micro-batch 512" in budget(f"sweep {S} {CARD} --ctx 256,8k")[1]
