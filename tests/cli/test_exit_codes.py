"""Every exit code, through the installed command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ghost import write_ghost

BUDGET = str(Path(sys.executable).parent / "budget")
SAMPLE = "sample:llama-3.1-8b"
CARD = ("--gpu", "24GiB", "--ram", "64GiB")


def budget(*arguments, **options):
    return subprocess.run(
        [BUDGET, *map(str, arguments)], capture_output=True, text=True, check=False, **options
    )


@pytest.fixture(name="unknown_model")
def _unknown_model(tmp_path):
    spec = {
        "metadata": {
            "general.architecture": ["str", "never-heard-of"],
            "never-heard-of.context_length": ["u32", 4096],
            "never-heard-of.embedding_length": ["u32", 256],
            "never-heard-of.block_count": ["u32", 2],
            "never-heard-of.attention.head_count": ["u32", 4],
        },
        "tensors": [["token_embd.weight", [256, 128], "F32"], ["blk.0.attn_q.weight", [256, 256], "Q8_0"]],
    }
    path = tmp_path / "unknown.gguf"
    write_ghost(spec, path)
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(("fit", SAMPLE, *CARD, "-c", "8k"), 0, "", id="fits"),
        pytest.param(("fit", SAMPLE, *CARD, "-c", "512k"), 3, "", id="does-not-fit"),
        pytest.param(
            ("max-ctx", SAMPLE, "--gpu", "1GiB", "--ram", "64GiB"), 3, "no context fits", id="no-context"
        ),
        pytest.param(("fit", SAMPLE, "--budget", "lots"), 2, "'lots'", id="bad-budget"),
        pytest.param(("fit", SAMPLE, "--frobnicate"), 2, "--frobnicate", id="bad-option"),
        pytest.param(("fit",), 2, "no model given", id="no-model"),
        pytest.param(("fitt",), 2, "did you mean fit", id="bad-command"),
        pytest.param(("fit", SAMPLE, *CARD, "-ts", "0,0"), 2, "every share is 0", id="split-of-zeros"),
        pytest.param(
            ("fit", SAMPLE, *CARD, "-ctv", "q8_0", "-fa", "off"), 2, "flash attention", id="refused"
        ),
        pytest.param(("fit", SAMPLE, *CARD, "-c", "-1"), 2, "0 or more", id="negative-context"),
        pytest.param(("fit", "no-such-file.gguf"), 4, "no-such-file.gguf", id="no-file"),
        pytest.param(("fit", SAMPLE, *CARD, "-dev", "CUDA7"), 5, "CUDA0", id="no-device"),
        pytest.param(("fit", SAMPLE, "--machine", "no-such.json"), 5, "no-such.json", id="no-machine-file"),
    ],
)
def test_each_kind_of_end_has_its_code(arguments, code, words, tmp_path):
    run = budget(*arguments, cwd=tmp_path)
    assert run.returncode == code, run.stderr
    assert words in run.stderr
    assert "Traceback" not in run.stderr
    if code not in (0, 3):
        assert run.stdout == ""


def test_an_unknown_architecture_is_unknown_and_never_fits(unknown_model):
    run = budget("fit", unknown_model, *CARD, "--json")
    answer = json.loads(run.stdout)
    assert (run.returncode, answer["verdict"]) == (7, "unknown")
    # what is in the file is still exact: 32 rows of 1 KiB of f32, and 256 rows of 8 q8_0 blocks of 34 bytes
    assert sum(b["weights_bytes"] for b in answer["buffers"]) >= 128 * 1024 + 256 * 8 * 34
    assert budget("max-ctx", unknown_model, *CARD).returncode == 7


def test_an_assumed_architecture_answers_but_is_not_exact(unknown_model):
    run = budget("fit", unknown_model, *CARD, "--json", "--assume", "llama")
    answer = json.loads(run.stdout)
    assert answer["verdict"] == "fits"
    assert {d["basis"]["context"] for d in answer["devices"]} == {"formula"}


@pytest.mark.parametrize("cut", [0, 3, 20, 100, 1000])
def test_a_truncated_file_is_exit_4_with_a_sentence(unknown_model, cut):
    data = unknown_model.read_bytes()[:cut]
    unknown_model.write_bytes(data)
    run = budget("fit", unknown_model)
    assert run.returncode == 4
    assert "Traceback" not in run.stderr
    assert unknown_model.name in run.stderr


def test_max_ctx_prints_one_integer_and_nothing_else():
    run = budget("max-ctx", SAMPLE, *CARD)
    assert run.returncode == 0
    assert run.stdout == f"{int(run.stdout)}\n"
    assert run.stderr == ""


def test_quiet_prints_nothing():
    assert (
        budget("fit", SAMPLE, *CARD, "-c", "8k", "-q").stdout,
        budget("fit", SAMPLE, *CARD, "-q", "-c", "8k").returncode,
    ) == ("", 0)


def test_a_whole_llama_server_line_means_the_same_as_options():
    options = json.loads(budget("fit", SAMPLE, *CARD, "--json", "-c", "8192", "-ngl", "20").stdout)
    line = json.loads(
        budget(
            "fit", SAMPLE, *CARD, "--json", "--", "llama-server", "--port", "8080", "-c", "8192", "-ngl", "20"
        ).stdout
    )
    assert options == line
