"""`budget scan`, `budget cache` and `budget hardware`, on files that the tests write."""

from __future__ import annotations

import json

import pytest

import truth
from ghost import write_ghost
from inprocess import budget, run

CARD = ("--gpu", "24GiB", "--ram", "64GiB")


@pytest.fixture(name="folder")
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = tmp_path / "models"
    models.mkdir()
    for name in ("llama-3.1-8b", "llama-3.3-70b"):
        write_ghost(truth.specs()[f"real/{name}"], models / f"{name}.gguf")
    (models / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    return models


def test_one_bad_file_is_a_row_not_an_end(folder):
    code, text, _ = run("scan", str(folder), *CARD, "-c", "8k", "--json", "-j", "1")
    rows = {row["name"]: row for row in json.loads(text)["models"]}
    assert code == 0
    assert {name: (r["result"] or {}).get("verdict") for name, r in rows.items()} == {
        "llama-3.1-8b": "fits",
        "llama-3.3-70b": "does_not_fit",
        "broken": None,
    }
    assert rows["broken"]["error"]


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--resident chat=CUDA0:12GiB",
        "--max-resident 10GiB",
        "-c 8k --accounting fit",
        "--override-kv llama.context_length=int:4096",
    ],
)
def test_a_scan_says_what_fit_and_max_ctx_say(folder, options):
    path = folder / "llama-3.1-8b.gguf"
    _, text, _ = run("scan", str(path), *CARD, *options.split(), "--json", "-j", "1")
    (row,) = json.loads(text)["models"]
    assert row["file_bytes"] == path.stat().st_size
    assert row["result"]["max_ctx"] == int(run("max-ctx", str(path), *CARD, *options.split())[1])


def test_other_processes_are_asked_the_same(folder):
    asked = ("scan", str(folder), *CARD, "--resident", "chat=CUDA0:12GiB", "--json")
    for n in range(8):
        (folder / f"m{n}.gguf").write_bytes(b"GGUF")
    assert run(*asked, "-j", "2") == run(*asked, "-j", "1")


@pytest.mark.parametrize(
    "options",
    [
        ("--max-resident", "1GiB"),
        ("--headroom", "0.9"),
        ("--resident", "other=CUDA0:23GiB"),
        ("--budget", "vram=2GiB"),
        ("--reserve", "23GiB"),
    ],
    ids=" ".join,
)
def test_a_scan_leaves_what_fit_leaves(folder, options):
    path = str(folder / "llama-3.1-8b.gguf")
    _, text, _ = run("scan", path, *CARD, *options, "-c", "8k", "--json", "-j", "1")
    found = json.loads(text)["models"][0]["result"]
    answer = json.loads(run("fit", path, *CARD, *options, "-c", "8k", "--json")[1])
    assert (found["verdict"], answer["verdict"]) == ("does_not_fit", "does_not_fit")
    assert found["required_bytes"] == sum(d["required_bytes"] for d in answer["devices"])


def test_a_scan_reads_the_environment(folder):
    asked = ("scan", str(folder / "llama-3.1-8b.gguf"), *CARD, "-c", "8k", "--json", "-j", "1")
    _, text, _ = run(*asked, BUDGET_BUDGET="vram=2GiB")
    assert json.loads(text)["models"][0]["result"]["verdict"] == "does_not_fit"


def test_the_cache_tells_and_forgets(folder):
    run("inspect", str(folder / "llama-3.1-8b.gguf"))
    before = json.loads(run("cache", "info", "--json")[1])
    run("cache", "clear")
    assert json.loads(run("cache", "--json")[1])["n_entries"] == 0
    assert before["folder"].startswith(str(folder.parent / "cache"))


def test_no_cache_keeps_nothing(folder):
    run("inspect", str(folder / "llama-3.1-8b.gguf"), "--no-cache")
    assert json.loads(run("cache", "--json")[1])["n_entries"] == 0


def test_hardware_that_runs_a_model_is_listed_least_memory_first():
    code, text, _ = run("hardware", "rtx-40", "--fits", "sample:qwen3-30b-a3b", "--ctx", "16k", "--json")
    rows = json.loads(text)["hardware"]
    sizes = [row["memory_bytes"] for row in rows]
    assert code == 0
    assert rows
    assert sizes == sorted(sizes)
    assert all(row["required_bytes"]["CUDA0"] <= row["memory_bytes"] for row in rows)


def test_hardware_that_holds_nothing_is_exit_3():
    assert run("hardware", "rtx-40", "--fits", "sample:llama-3.3-70b", "--ctx", "64k", "-q")[0] == 3


@pytest.mark.parametrize(
    ("options", "env", "expected"),
    [
        pytest.param("", {}, (0, "rtx-4090"), id="as it is"),
        pytest.param("", {"BUDGET_RESERVE": "20GiB"}, (3, "NONE RUNS IT"), id="the reserve is left free"),
        pytest.param("", {"BUDGET_MAX_RESIDENT": "4GiB"}, (3, "NONE RUNS IT"), id="under the policy"),
        pytest.param("", {"BUDGET_LEDGER": "/nonexistent"}, (0, "rtx-4090"), id="what is loaded here is not there"),
        pytest.param("", {"BUDGET_RESERVE": "x"}, (2, "BUDGET_RESERVE"), id="a mistake in the environment"),
        pytest.param("-ts 1,1", {}, (2, "2 shares for 1 device"), id="a mistake in the question"),
        pytest.param("-dev Metal", {}, (5, "no such device"), id="a device that none has"),
    ],
)  # fmt: skip
def test_hardware_is_asked_as_fit_would_be(options, env, expected):
    code, out, err = budget(f"hardware rtx-4090 --fits sample:llama-3.1-8b --ctx 8k {options}", **env)
    assert code == expected[0], err
    assert expected[1] in out + err


def test_hardware_for_a_model_that_is_not_known_is_exit_7(tmp_path):
    spec = truth.specs()["real/llama-3.1-8b"]
    path = tmp_path / "new.gguf"
    text = json.dumps(spec).replace('"llama', '"never-heard-of')
    write_ghost(json.loads(text), path)
    code, _, err = budget(f"hardware rtx-4090 --fits {path}")
    assert (code, "never-heard-of is not known" in err) == (7, True)


@pytest.fixture(name="nodes")
def _nodes(tmp_path):
    """A question to two nodes, and their verdicts with reasons."""
    for name, card in (("small", "8GiB"), ("large", "80GiB")):
        (tmp_path / f"{name}.json").write_text(run("devices", "--json", "--gpu", card, "--ram", "64GiB")[1])

    def verdicts(*options, **env):
        line = ("fit", "sample:llama-3.1-8b", "-c", "32k", "--inventory", str(tmp_path), "--json")
        code, text, _ = run(*line, *options, **env)
        return code, {n["name"]: (n["verdict"], n["reason"]) for n in json.loads(text)["nodes"]}

    return verdicts


def test_an_inventory_names_the_nodes_that_fit_and_why_others_do_not(nodes):
    code, nodes = nodes()
    assert code == 0
    assert nodes["large"] == ("fits", "")
    assert nodes["small"][0] == "does_not_fit"
    assert "CUDA0" in nodes["small"][1]


@pytest.mark.parametrize("options", [("--max-resident", "1GiB"), ("--headroom", "0.95")], ids=" ".join)
def test_an_inventory_is_held_to_the_policy(nodes, options):
    code, found = nodes(*options)
    assert code == 3
    assert {verdict for verdict, _ in found.values()} == {"does_not_fit"}


def test_an_inventory_reads_the_environment(nodes):
    assert nodes(BUDGET_BUDGET="vram=4GiB")[0] == 3


def test_a_budget_by_device_is_resolved_on_each_node(nodes):
    code, found = nodes("--budget", "CUDA0=79GiB")
    assert (code, found["large"]) == (0, ("fits", ""))


def test_a_mistake_that_every_node_finds_is_an_error(tmp_path):
    (tmp_path / "one.json").write_text(run("devices", "--json", *CARD)[1])
    code, out, err = run("fit", "sample:llama-3.1-8b", "--inventory", str(tmp_path), "--budget", "foo")
    assert (code, out) == (2, "")
    assert "not a size: 'foo'" in err
