"""`budget sweep` through the command."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import truth
from budget.cli.run import run as run_command
from ghost import write_ghost

CARD = ("sample:llama-3.1-8b", "--gpu", "12GiB", "--ram", "32GiB", "--overhead", "512MiB")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)


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


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--ctx", "4k,8k", "-c", "16k"), "--ctx sweeps what -c sets", "leave -c away"),
        (("--ctx", "4k", "--ctx-size", "16k"), "--ctx sweeps what -c sets", "leave -c away"),
        (("--kv", "f16", "-ctv", "q8_0"), "--kv sweeps what -ctv sets", "leave -ctv away"),
        (("--ngl", "0,9", "-ngl", "5"), "--ngl sweeps what -ngl sets", "leave -ngl away"),
        (("--np", "1,2", "--parallel", "5"), "--np sweeps what -np sets", "leave -np away"),
        (("--ub", "256", "--", "llama-server", "-ub", "512"), "--ub sweeps what -ub sets", "leave -ub away"),
        (("--kv", "f16", "--ctk", "q8_0"), "--kv sets both K and V types", "give --ctk and --ctv"),
        (("--np", "0"), "--np '0': 0 is too few", "1..16 (doubling)"),
        (("--ctx", "1..2147483648:1"), "2,147,483,648 values, at most 64", "larger steps"),
        (("--ctx", "1..64:1", "--np", "1..64:1"), "4,096 points", "fewer values"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anything_is_read(run, arguments, message, hint):
    code, out, err = run("sweep", "gone.gguf", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert hint in err


def test_the_help_says_that_ranges_double(run):
    text = " ".join(run("sweep", "--help")[1].split())
    assert "1..16 (doubling)" in text
    assert "256..2048 (doubling)" in text
    assert "0..33 (about 12 steps)" in text


def test_a_largest_context_beside_points_that_do_not_fit_is_not_a_point_that_fits(run):
    code, out, _ = run("sweep", *CARD, "--ctx", "96k,128k")
    assert code == 3
    assert "largest context that fits: " in out


def test_where_nothing_fits_it_says_by_how_much_and_what_to_do(run):
    small = ("sample:llama-3.1-8b", "--gpu", "4GiB", "--ram", "32GiB", "--overhead", "512MiB")
    code, out, _ = run("sweep", *small, "--ctx", "8k,16k")
    text = " ".join(out.split())
    assert code == 3
    assert "no context fits: CUDA0 is short by 9" in text
    assert "even at 256" in text
    assert "What makes it fit at -c 256: -ngl " in text
    code, out, _ = run("sweep", "sample:llama-3.3-70b", *small[1:], "-c", "8k", "--np", "1,2")
    assert code == 3
    assert "at -np 2, which comes closest" in " ".join(out.split())
    assert "budget hardware --fits sample:llama-3.3-70b" in out


def test_memory_that_is_not_known_is_said_and_never_read_as_too_little(run, tmp_path):
    data = json.loads(run("devices", "--gpu", "8GiB", "--ram", "16GiB", "--json")[1])
    for device in data["devices"]:
        device["total_bytes"] = device["free_bytes"] = None
    (tmp_path / "rig.json").write_text(json.dumps(data))
    code, out, _ = run("sweep", CARD[0], "--machine", "rig.json", "--ctx", "4k,8k", "--kv", "f16,q8_0")
    assert code == 7
    assert out.count("not known: memory of CUDA0 is not known") == 2
    assert "--budget CUDA0=SIZE" in out
    assert "no context fits" not in out


def test_a_single_point_is_a_table_and_no_plot(run):
    _, out, _ = run("sweep", *CARD, "--ctx", "8k")
    assert not set("★●┤╌") & set(out)
    assert next(line.split()[0] for line in out.splitlines() if line.endswith(("fits", "largest"))) == "8k"


def test_the_largest_context_has_a_row_of_its_own(run):
    longest = run("max-ctx", *CARD)[1].strip()
    _, out, _ = run("sweep", *CARD, "--ctx", "4k..128k")
    table = out.partition("verdict")[2].partition("may use")[0]
    rows = [line.split() for line in table.splitlines() if line]
    assert [row[0] for row in rows] == ["4k", "8k", "16k", "32k", f"{int(longest):,}", "64k", "128k"]
    assert [row[-1] for row in rows] == [*["fits"] * 4, "largest", "no", "no"]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(
            (*CARD, "--ctx", "4k..64k", "--ctk", "f16,q8_0,q4_0,q5_0", "--ctv", "f16,q8_0"), id="8-lines"
        ),
        pytest.param(
            ("sample:llama-3.3-70b", "--gpu", "24GiB", "--gpu", "48GiB", "--ram", "64GiB"), id="2-gpus"
        ),
        pytest.param((*CARD, "-c", "8k", "--ngl", "0..33:11,all"), id="layers"),
        pytest.param((*CARD, "-c", "8k", "--np", "1..16", "--kv", "f16,q8_0"), id="slots"),
        pytest.param((*CARD, "-c", "8k", "--ub", "256..1024", "--budget", "9GiB"), id="one-pool"),
    ],
)
def test_a_screen_is_never_wider_than_it_may_be(run, monkeypatch, arguments, width):
    monkeypatch.setenv("COLUMNS", str(width))
    title, *lines = run("sweep", *arguments)[1].splitlines()
    assert title.startswith("memory by ")
    assert max(map(len, lines)) <= width
    assert any("┤" in line for line in lines)


def test_every_table_names_its_device_and_its_unit(run):
    two = ("sample:llama-3.3-70b", "--gpu", "24GiB", "--gpu", "48GiB", "--ram", "64GiB", "--ctx", "4k,64k")
    _, out, _ = run("sweep", *two, "--kv", "f16,q8_0", "--format", "markdown")
    assert "GiB on CUDA0, which may use 24.00\n\n| ctx |" in out
    assert "GiB on CUDA1, which may use 48.00\n\n| ctx |" in out
    _, out, _ = run("sweep", *two, "--format", "markdown")
    assert "| ctx | CUDA0 GiB | CUDA1 GiB | verdict |" in out
    assert "| may use | 24.00 | 48.00 |  |" in out


def test_layers_that_move_are_shown_on_both_devices_in_one_plot(run):
    _, out, _ = run("sweep", *CARD, "-c", "8k", "--ngl", "0..33:11,all")
    assert out.count("└") == 1
    assert "● CUDA0   ◆ CPU" in out
    assert "CUDA0 may use 12.00 GiB" in out


def test_a_picture_without_the_plotting_library_says_what_to_install(run, monkeypatch):
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
    assert f"largest context that fits: {row['max_ctx']:,}" in page


def test_equal_sweeps_give_equal_pictures(run, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("a.svg", "b.svg"):
        run("sweep", *CARD, "--ctx", "4k,8k", "--svg", name, "-q")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


PICTURES = (("svg", b"<?xml"), ("png", b"\x89PNG"), ("html", b"<!doctype html>"))


@pytest.mark.parametrize(("form", "start"), PICTURES)
def test_a_dash_is_stdout_and_nothing_else(capfdbinary, monkeypatch, tmp_path, form, start):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    code = run_command(["sweep", *CARD, "--ctx", "4k,8k", f"--{form}", "-"])
    out, err = capfdbinary.readouterr()
    assert (code, err) == (0, b"")
    assert out.startswith(start)
    assert out.rstrip().endswith((b"</svg>", b"</html>", b"IEND\xaeB`\x82"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (("--svg", "gone/x.svg"), "--svg gone/x.svg: there is no folder gone", "make it first"),
        (("--png", "."), "--png .: this is a folder", "name a file in it"),
        (("--html", "x" * 300), "File name too long", "a shorter name"),
        (("--html", ""), "--html '': no file", "- for stdout"),
        (("--svg", "x", "--png", "./x"), "--svg and --png both write ./x", "a file for each"),
        (("--svg", "-", "--html", "-"), "--svg and --html both write -", "a file for each"),
        (("--svg", "-", "--json"), "--svg - and the answer as json", "name a file"),
        (("--svg", "x", "--ctk", "f32,f16,bf16,q8_0,q4_0,q5_0", "--ctv", "f16,q8_0,q4_0,q5_0,q5_1"),
         "30 lines in a picture, at most 28", "several pictures"),
    ],
)  # fmt: skip
def test_a_picture_that_cannot_be_is_refused_before_anything_is_planned(
    run, tmp_path, arguments, message, hint
):
    pytest.importorskip("matplotlib")
    code, out, err = run("sweep", "gone.gguf", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert hint in err
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_no_wrong_usage(run):
    pytest.importorskip("matplotlib")
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    code, out, err = run("sweep", *CARD, "--ctx", "4k,8k", "--svg", "/dev/full")
    assert (code, out) == (1, "")
    assert "--svg /dev/full: No space left on device" in err
    assert "make room" in err


def test_a_picture_is_written_whole_or_not_at_all(run, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    kept = tmp_path / "x.svg"
    kept.write_text("before")
    kept.chmod(0o640)
    real = os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run("sweep", *CARD, "--ctx", "4k,8k", "--svg", "x.svg")[0] == 1
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x.svg", "before")]
    monkeypatch.setattr(os, "fsync", real)
    assert run("sweep", *CARD, "--ctx", "4k,8k", "--svg", "x.svg", "-q")[0] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["x.svg"]
    assert kept.stat().st_mode & 0o777 == 0o640
    assert kept.read_bytes().startswith(b"<?xml")


def test_a_link_to_a_picture_stays_a_link(run, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "real.svg").write_text("before")
    (tmp_path / "x.svg").symlink_to("real.svg")
    run("sweep", *CARD, "--ctx", "4k,8k", "--svg", "x.svg", "-q")
    assert (tmp_path / "x.svg").is_symlink()
    assert (tmp_path / "real.svg").read_bytes().startswith(b"<?xml")


def test_letters_that_no_font_has_leave_stderr_clean(capfd, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    name = "模型 $x$ <b>&\x01.gguf"
    write_ghost(truth.specs()["real/llama-3.1-8b"], tmp_path / name)
    pictures = ("--svg", "a.svg", "--png", "a.png", "--html", "a.html")
    assert run_command(["sweep", name, *CARD[1:], "--ctx", "4k,8k", *pictures, "-q"]) == 0
    assert capfd.readouterr() == ("", "")
    svg = ElementTree.fromstring((tmp_path / "a.svg").read_text())
    assert "模型 $x$ <b>&\N{REPLACEMENT CHARACTER}.gguf" in list(svg.itertext())
    assert (
        "<h1>模型 $x$ &lt;b&gt;&amp;\N{REPLACEMENT CHARACTER}.gguf: memory"
        in (tmp_path / "a.html").read_text()
    )


def test_a_home_that_cannot_be_written_leaves_stderr_clean(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").touch()
    environment = {
        **os.environ,
        "MPLCONFIGDIR": str(tmp_path / "file" / "x"),
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    line = [sys.executable, "-c", "from budget.cli import main; main()", "sweep", *CARD, "--ctx", "4k,8k"]
    done = subprocess.run(
        [*line, "--svg", str(tmp_path / "x.svg"), "-q"], capture_output=True, check=False, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
