"""`budget diff` through the command."""

from __future__ import annotations

import json

import pytest

MODEL = "sample:llama-3.1-8b"
CARD = ("--gpu", "12GiB", "--ram", "32GiB", "--overhead", "512MiB", "-c", "16k")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


def test_a_cache_of_half_the_bits_is_a_little_more_than_half(run):
    data = json.loads(run("diff", MODEL, *CARD, "--b", "-ctk q8_0 -ctv q8_0", "--json")[1])
    (context,) = [p for p in data["parts"] if (p["device"], p["part"]) == ("CUDA0", "context")]
    # 16384 cells x 32 layers x (1024 + 1024) elements: 2 bytes each, or 34 bytes for 32 of them
    assert context["a_bytes"] == 16384 * 32 * 2048 * 2
    assert context["b_bytes"] == 16384 * 32 * 2048 * 34 // 32
    assert context["difference_bytes"] == context["b_bytes"] - context["a_bytes"]
    assert [f["name"] for f in data["facts"]] == ["type_k", "type_v"]


def test_two_models_differ_in_what_they_are(run):
    code, out, _ = run("diff", MODEL, "sample:gpt-oss-20b", *CARD)
    assert code == 0
    assert "architecture: llama → gpt-oss" in out
    assert "n_layer: 32 → 24" in out


def test_a_difference_stands_first(run):
    _, out, _ = run("diff", MODEL, *CARD, "--b", "-ctk q8_0 -ctv q8_0")
    assert out.startswith("B takes ")


def test_the_same_twice_is_no_difference(run):
    code, out, _ = run("diff", MODEL, MODEL, *CARD)
    assert code == 0
    assert out.startswith("A and B take the same on every device\n")


def test_an_answer_that_was_kept_is_a_side(run, tmp_path):
    (tmp_path / "before.json").write_text(run("fit", MODEL, *CARD, "--json")[1])
    data = json.loads(run("diff", "before.json", MODEL, *CARD, "--json")[1])
    assert {p["difference_bytes"] for p in data["parts"]} == {0}
    assert data["a"]["name"] == "before.json"
    assert data["a"]["max_ctx"] == data["b"]["max_ctx"]


def test_two_whole_command_lines_are_compared(run):
    line = f"llama-server -m {MODEL} -c 8192"
    data = json.loads(run("diff", *CARD[:-2], "--a", line, "--b", f"{line} -ngl 16", "--json")[1])
    assert (data["a"]["name"], data["b"]["name"]) == (line, f"{line} -ngl 16")
    moved = {(p["device"], p["part"]): p["difference_bytes"] for p in data["parts"]}
    assert moved["CUDA0", "weights"] < 0 < moved["CPU", "weights"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((MODEL,), "nothing to compare with"),
        ((MODEL, MODEL, MODEL), "3 models"),
        (("gone.json", MODEL), "gone.json"),
        (("list.json", MODEL), "no answer of budget fit"),
        (("part.json", MODEL), "lacks parts"),
        (("text.json", MODEL), "not JSON"),
        (("part.json", MODEL, "--a", "-c 8k"), "an answer already"),
        ((MODEL, "--b", "-ctk q9"), "q9"),
        ((MODEL, "--a", "-m other.gguf"), "--a names another model: other.gguf"),
        ((MODEL, "--a", "llama-server -m other.gguf"), "two models"),
    ],
)
def test_what_cannot_be_compared_says_why(run, tmp_path, arguments, words):
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "part.json").write_text('{"schema": "budget/fit/v1", "devices": []}')
    (tmp_path / "text.json").write_text("text")
    code, out, err = run("diff", *arguments, *CARD)
    assert (code, out) == (2, "")
    assert words in err
