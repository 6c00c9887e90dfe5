"""What one answer says must agree with itself and with what was asked."""

from __future__ import annotations

import csv
import json

import pytest

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
