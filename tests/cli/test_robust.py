"""Lines that contradict themselves, streams that are closed or full, words from other tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from budget.cli.commands import COMMANDS
from cli.answers import CARD, SAMPLE, prepare

BUDGET = str(Path(sys.executable).parent / "budget")
FIT = ("fit", SAMPLE, *CARD.split(), "-c", "8k")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    prepare(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SAMPLE, SAMPLE, "--inventory", "nodes.json"), "--inventory is for one model"),
        ((SAMPLE, "--inventory", "nodes.json", "--gpu", "8GiB"), "--gpu does not go with it"),
        ((SAMPLE, "--inventory", "nodes.json", "--ledger", "x"), "--ledger does not go with it"),
        ((SAMPLE, "--inventory", "nodes.json", "--evict"), "does not go with --evict"),
        ((SAMPLE, "--pods", "pods.json"), "--inventory, which is not given"),
        ((SAMPLE, "--emit", "kubernetes"), "--emit needs --inventory"),
        (
            (SAMPLE, "--inventory", "nodes.json", "--emit", "kubernetes", "--json"),
            "does not go with --format json",
        ),
        ((SAMPLE, "--name", "chat"), "--name is what --admit writes"),
        ((SAMPLE, "--admit", "--evict", "--ledger", "l.json"), "two questions"),
        ((SAMPLE, SAMPLE, "--admit", "--ledger", "l.json"), "--admit takes one model"),
    ],
    ids=lambda a: a if isinstance(a, str) else "",
)
def test_an_option_that_would_be_ignored_is_refused(run, arguments, words):
    code, out, err = run("fit", *arguments)
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("diff", SAMPLE, "--a", '-c "8k'), "--a: '-c \"8k' cannot be split"),
        (("fit", SAMPLE, SAMPLE, "--for", SAMPLE, "-c '8k"), "close its quotes"),
        (("scan", "models", "-j", "0"), "at least one process"),
        (("scan", "no-such-folder"), "no-such-folder: no such file or folder"),
        (("hardware", "no such card at all"), "no entry of the catalogue"),
        (("hardware", "rtx", "--ctx", "8k"), "name a model with --fits"),
        (("check", "--init", "a.toml", "b.toml"), "--init writes one file"),
    ],
    ids=lambda a: a if isinstance(a, str) else a[0],
)
def test_bad_input_is_an_error_that_says_what_to_do(run, arguments, words):
    code, out, err = run(*arguments)
    assert code in (2, 4, 5)
    assert out == ""
    assert words in err


@pytest.mark.parametrize(
    ("word", "meant"),
    [("--ctx", "--ctx-size"), ("--context", "--ctx-size"), ("--vram", "--gpu"), ("--max-model-len", "--ctx-size"),
     ("--slots", "--parallel")],
)  # fmt: skip
def test_what_other_tools_call_it_is_understood(run, word, meant):
    _, _, err = run("fit", SAMPLE, word, "8k")
    assert f"did you mean {meant}" in err


def test_help_and_version_as_commands(run):
    assert run("help")[1] == run("--help")[1]
    assert run("help", "fit")[1] == run("fit", "--help")[1]
    assert run("version")[1] == run("--version")[1]


@pytest.mark.parametrize("text", ['[gate]\nmodel = "a.gguf"\n', "not toml", '[[gate]]\nmodle = "a.gguf"\n'])
def test_a_broken_gate_file_is_an_annotation_in_a_github_workflow(run, monkeypatch, text):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    Path("bad.toml").write_text(text)
    code, out, err = run("check", "bad.toml")
    assert code == 2
    assert out.startswith("::error file=bad.toml,line=1,title=budget%3A the gate file::")
    assert err.startswith("budget: error: bad.toml: ")


def test_one_pair_of_brackets_is_named(run):
    Path("bad.toml").write_text('[gate]\nmodel = "a.gguf"\n')
    assert "[[gate]] with two brackets" in run("check", "bad.toml")[2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
@pytest.mark.parametrize(
    "arguments", [FIT, (*FIT, "--json"), ("--help",), ("--version",), ("schema",)], ids=len
)
def test_a_full_disk_is_an_error_not_a_traceback(arguments):
    with Path("/dev/full").open("w") as full:
        run = subprocess.run(
            [BUDGET, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert run.returncode == 1
    assert run.stderr == "budget: error: the answer cannot be written: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="shell redirections of POSIX")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0)])
def test_a_closed_stream_leaves_the_exit_code(closed, code):
    run = subprocess.run(["sh", "-c", f"{BUDGET} {' '.join(FIT)} {closed}"], capture_output=True, check=False)
    assert run.returncode == code
    run = subprocess.run(["sh", "-c", f"{BUDGET} fit gone.gguf {closed}"], capture_output=True, check=False)
    assert run.returncode == 4


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
@pytest.mark.parametrize("form", ["plain", "json", "markdown", "csv"])
def test_an_encoding_without_the_letters_of_a_name_still_gives_the_answer(encoding, form):
    name = "模型 é.gguf"
    Path(name).symlink_to(Path("models/llama-3.1-8b.gguf").resolve())
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run(
        [BUDGET, "fit", name, *FIT[2:], "--format", form], capture_output=True, env=environment, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
    if form == "json":
        assert json.loads(run.stdout)["model"]["path"].endswith(name)


def test_force_colour_makes_a_pipe_a_terminal():
    run = subprocess.run(
        [BUDGET, *FIT], capture_output=True, env={**os.environ, "FORCE_COLOR": "1"}, check=True
    )
    assert b"\x1b[1;32mFITS" in run.stdout


def test_a_table_with_wide_letters_stays_aligned(run):
    name = "模型.gguf"
    Path(name).symlink_to(Path("models/llama-3.1-8b.gguf").resolve())
    _, out, _ = run("fit", name, SAMPLE, *CARD.split(), "-c", "8k")
    lines = [line for line in out.splitlines() if line.startswith(("model", name, SAMPLE, "together"))]
    ends = [line.rindex("B") + (2 if line.startswith(name) else 0) for line in lines[1:]]
    assert len(set(ends)) == 1


def test_nothing_that_runs_a_model_says_what_comes_nearest(run):
    code, out, _ = run("hardware", "rtx 3060", "--fits", "sample:llama-3.3-70b")
    assert code == 3
    assert out.startswith("NONE RUNS IT: sample:llama-3.3-70b\n")
    assert "short by" in out


def test_a_placement_that_does_not_fit_says_so_first(run):
    code, out, _ = run("place", "sample:llama-3.3-70b", "--gpu", "8GiB", "--ram", "8GiB", "-c", "8k")
    assert code == 0
    assert out.startswith("DOES NOT FIT: sample:llama-3.3-70b\nCUDA0: needs ")
    assert "short by" in out.partition("\n\nWhere it would go:\n")[0]


def test_every_command_is_named_where_one_is_mistyped(run):
    _, _, err = run("frobnicate")
    assert all(name in err for name in COMMANDS)


def test_what_a_resident_takes_of_one_pool_is_not_usable(run):
    _, out, _ = run("max-ctx", SAMPLE, *CARD.split(), "--budget", "9GiB", "--json")
    alone = json.loads(out)["capacity"]["usable_bytes"]
    _, out, _ = run(
        "max-ctx", SAMPLE, *CARD.split(), "--budget", "9GiB", "--resident", "chat=CUDA0:2GiB", "--json"
    )
    beside = json.loads(out)
    assert alone - beside["capacity"]["usable_bytes"] == 2 << 30
    assert beside["capacity"]["n_ctx"] == beside["max_ctx"]


def test_no_context_that_fits_is_null_in_json_and_nothing_on_stdout(run):
    asked = ("max-ctx", "sample:llama-3.3-70b", "--gpu", "8GiB", "--ram", "8GiB")
    code, out, err = run(*asked)
    assert (code, out) == (3, "")
    assert "short by" in err
    code, out, _ = run(*asked, "--json")
    assert (code, json.loads(out)["max_ctx"], json.loads(out)["n_ctx_seq"]) == (3, None, None)


def test_one_line_of_advice_is_no_json(run):
    code, out, err = run("advise", SAMPLE, *CARD.split(), "--line", "--json")
    assert (code, out) == (2, "")
    assert "--line is one line" in err


def test_a_change_helps_a_machine_whose_gpu_shares_ram(run):
    _, out, _ = run("fit", "sample:llama-3.3-70b", "--machine", "m3-max:64GiB", "-c", "128k", "--json")
    answer = json.loads(out)
    assert "unified memory" in {f["device"] for f in answer["failures"]}
    assert answer["suggestions"]
    assert all(s["gained_bytes"] > 0 for s in answer["suggestions"])


def test_a_server_that_may_outgrow_ram_is_noted(run):
    card = ("sample:gemma-3-27b", "--gpu", "24GiB", "--ram", "16GiB", "-c", "8k", "--json")
    _, out, _ = run("fit", *card)
    assert any("RAM may grow to" in note for note in json.loads(out)["notes"])
    _, out, _ = run("fit", *card, "-cram", "1024", "-ctxcp", "2")
    assert not any("RAM may grow to" in note for note in json.loads(out)["notes"])
