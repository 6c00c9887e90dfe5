"""`budget sweep` through the command."""

from __future__ import annotations

import csv
import io
import json

import pytest

from budget.cli.run import run as run_command

CARD = ("sample:llama-3.1-8b", "--gpu", "12GiB", "--ram", "32GiB", "--overhead", "512MiB")


@pytest.fixture(name="run")
def _run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = run_command([str(a) for a in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


def test_every_point_is_what_fit_says_there(run):
    data = json.loads(run("sweep", *CARD, "--ctx", "4k,16k", "--kv", "f16,q8_0", "--json")[1])
    assert len(data["points"]) == 4
    for point in data["points"]:
        kv, n_ctx = point["settings"]["kv"], str(point["settings"]["ctx"])
        fit = json.loads(run("fit", *CARD, "-c", n_ctx, "-ctk", kv, "-ctv", kv, "--json")[1])
        assert point["devices"] == fit["devices"]
        assert point["verdict"] == fit["verdict"]


def test_the_largest_context_of_each_series_is_what_max_ctx_says(run):
    data = json.loads(run("sweep", *CARD, "--ctx", "4k", "--kv", "f16,q4_0", "--json")[1])
    for series in data["series"]:
        kv = series["settings"]["kv"]
        assert str(series["max_ctx"]) == run("max-ctx", *CARD, "-ctk", kv, "-ctv", kv)[1].strip()


def test_offloaded_layers_slots_and_micro_batches_are_axes_too(run):
    for option, values in (("ngl", "0,16,all"), ("np", "1,4"), ("ub", "256,512")):
        data = json.loads(run("sweep", *CARD, "-c", "8k", f"--{option}", values, "--json")[1])
        assert data["axis"] == option
        assert len(data["points"]) == values.count(",") + 1


def test_fewer_layers_move_bytes_to_the_host(run):
    rows = csv.DictReader(
        io.StringIO(run("sweep", *CARD, "-c", "8k", "--ngl", "0,16,33", "--format", "csv")[1])
    )
    weights = {(r["ngl"], r["device"]): int(r["weights_bytes"]) for r in rows}
    assert weights["0", "CUDA0"] == 0 < weights["16", "CUDA0"] < weights["33", "CUDA0"]
    assert weights["0", "CPU"] > weights["16", "CPU"] > weights["33", "CPU"]


def test_exit_codes_follow_the_best_point(run):
    assert run("sweep", *CARD, "--ctx", "4k..128k", "-q") == (0, "", "")
    assert run("sweep", "sample:llama-3.3-70b", *CARD[1:], "--ngl", "all", "-c", "8k", "-q")[0] == 3


def test_settings_that_llama_cpp_refuses_are_points_without_a_plan(run):
    code, out, _ = run("sweep", *CARD, "--ctx", "4k", "--ctv", "f16,q8_0", "-fa", "off", "--json")
    points = json.loads(out)["points"]
    assert [p["verdict"] for p in points] == ["fits", "unknown"]
    assert "flash attention" in points[1]["problem"]
    assert code == 0
    code, out, err = run("sweep", *CARD, "--ctx", "4k", "--ctv", "q8_0", "-fa", "off")
    assert (code, out) == (2, "")
    assert "flash attention" in err


def test_a_picture_without_the_plotting_library_says_what_to_install(run, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = run("sweep", *CARD, "--ctx", "4k,8k", "--svg", "x.svg")
    assert code == 2
    assert "pip install 'gguf-budget[plot]'" in err


def test_pictures_are_written_and_need_nothing_else(run, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ("sweep", *CARD, "--ctx", "4k..64k", "--kv", "f16,q8_0")
    names = ("a.svg", "a.png", "a.html")
    code, out, _ = run(*arguments, "--svg", "a.svg", "--png", "a.png", "--html", "a.html", "-q")
    assert (code, out) == (0, "")
    svg, png, html = ((tmp_path / name).read_bytes() for name in names)
    assert svg.startswith(b"<?xml")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    page = html.decode()
    assert page.startswith("<!doctype html>")
    assert page.count("data:image/svg+xml;base64,") == 2
    assert "prefers-color-scheme: dark" in page
    assert not [word for word in ("src=\"http", "href=\"http", "<script", "@import", "url(http") if word in page]  # fmt: skip # noqa: E501
    # the context that the command names is the one in the page
    (row,) = [s for s in json.loads(run(*arguments, "--json")[1])["series"] if s["settings"]["kv"] == "q8_0"]
    assert f"<b>{row['max_ctx']:,}</b>" in page


def test_equal_sweeps_give_equal_pictures(run, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        run("sweep", *CARD, "--ctx", "4k,8k", "--svg", name, "-q")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_folder_that_is_not_there_is_wrong_usage(run):
    pytest.importorskip("matplotlib")
    code, _, err = run("sweep", *CARD, "--ctx", "4k,8k", "--svg", "gone/x.svg")
    assert (code, "gone/x.svg" in err) == (2, True)
