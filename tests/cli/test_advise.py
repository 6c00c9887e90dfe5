"""`budget advise`, what `max-ctx` explains, and what `fit` suggests, through the command."""

from __future__ import annotations

import json
import shlex

import pytest

from budget.schema import SCHEMAS
from inprocess import run

CARD = ("--gpu", "8GiB", "--ram", "64GiB")


def test_the_line_stands_alone_and_fits_when_it_is_pasted():
    code, text, _ = run("advise", "sample:qwen3-30b-a3b", *CARD, "-c", "16k", "--line")
    line = shlex.split(text)
    assert (code, text.count("\n"), line[:3]) == (0, 1, ["llama-server", "-m", "sample:qwen3-30b-a3b"])
    code, text, _ = run("fit", *CARD, "--json", "--", *line)
    assert (code, json.loads(text)["settings"]["n_ctx"]) == (0, 16384)


@pytest.mark.parametrize("extra", [(), ("-ngl", "99", "-c", "131072", "-ctk", "f16", "-ot", "x=CPU")])
def test_the_object_is_what_its_schema_says(extra):
    _, text, _ = run("advise", "sample:llama-3.1-8b", "--gpu", "4GiB", "--ram", "64GiB", "--json", *extra)
    data = json.loads(text)
    SCHEMAS["advise"].model_validate(data)
    assert data["schema"] == "budget/advise/v1"
    assert data["plan"]["schema"] == "budget/fit/v1"


def test_bandwidths_rank_by_speed_and_are_shown_as_an_estimate():
    rates = ("--bandwidth", "CUDA0=1008GB/s,ram=60GB/s")
    _, text, _ = run("advise", "sample:llama-3.1-8b", *CARD, *rates)
    assert "tokens/s" in text
    assert "(estimate)" in text
    _, text, _ = run("advise", "sample:llama-3.1-8b", *CARD)
    assert "ranked by weight bytes on GPUs" in text
    assert "tokens/s" not in text


def test_where_nothing_fits_the_line_is_empty_and_stderr_says_why():
    arguments = ("sample:llama-3.3-70b", "--gpu", "8GiB", "--ram", "8GiB")
    code, text, err = run("advise", *arguments, "--line")
    assert (code, text) == (3, "")
    assert err.startswith("nothing fits:\neven the smallest plan (context 4,096, K/V q8_0/q8_0, -ngl ")
    assert "CPU needs" in err
    code, text, _ = run("advise", *arguments)
    assert (code, text.splitlines()[0]) == (3, "NOTHING FITS: sample:llama-3.3-70b")


def test_max_ctx_explains_what_shares_one_memory():
    mac = ("sample:llama-3.3-70b", "--gpu", "m3-max:64GiB", "-nkvo")
    _, text, err = run("max-ctx", *mac, "--explain")
    held = json.loads(run("fit", *mac, "-c", text.strip(), "--json")[1])["devices"]
    gib = sum(d["required_bytes"] for d in held) / (1 << 30)
    assert f"unified memory binds: {gib:.2f} GiB of" in err


def test_max_ctx_explains_on_stderr_what_binds():
    code, text, err = run("max-ctx", "sample:llama-3.1-8b", *CARD, "--explain")
    assert (code, text.strip().isdigit()) == (0, True)
    assert err.startswith("CUDA0 binds: ")
    _, text, err = run("max-ctx", "sample:llama-3.1-8b", "--gpu", "24GiB", "--ram", "64GiB", "--explain")
    assert text == "131072\n"
    assert "--beyond-trained" in err


def test_max_ctx_looks_beyond_the_trained_context_only_when_asked():
    arguments = ("max-ctx", "sample:llama-3.1-8b", "--gpu", "24GiB", "--ram", "64GiB")
    assert run(*arguments)[1] == "131072\n"
    assert int(run(*arguments, "--beyond-trained")[1]) > 131072


def test_fit_suggests_what_is_enough():
    code, text, _ = run("fit", "sample:qwen3-30b-a3b", *CARD, "-c", "16k", "--json")
    suggestions = json.loads(text)["suggestions"]
    assert code == 3
    assert suggestions[0]["fits"]
    flag = shlex.split(suggestions[0]["flag"])
    assert run("fit", "sample:qwen3-30b-a3b", *CARD, "-c", "16k", "-q", *flag)[0] == 0
    _, text, _ = run("fit", "sample:qwen3-30b-a3b", "--gpu", "24GiB", "--ram", "64GiB", "-c", "8k", "--json")
    assert json.loads(text)["suggestions"] == []


def test_servers_of_an_inventory_come_before_the_line_that_uses_them(tmp_path, capsys):
    from budget.cli.run import run as run_command

    assert run_command(["devices", "--gpu", "24GiB", "--ram", "64GiB", "--json"]) == 0
    machine = capsys.readouterr().out
    for name in ("node1", "node2"):
        (tmp_path / f"{name}.json").write_text(machine)
    asked = ["advise", "sample:llama-3.3-70b", "--rpc-from", str(tmp_path), "--no-gpu", "--ram", "32GiB"]
    assert run_command(asked) == 0
    first, second, line, *_ = capsys.readouterr().out.splitlines()
    assert first == "ggml-rpc-server -H node1 -p 50052 -d CUDA0 -c"
    assert second == "ggml-rpc-server -H node2 -p 50052 -d CUDA0 -c"
    assert "--rpc node1:50052,node2:50052" in line
