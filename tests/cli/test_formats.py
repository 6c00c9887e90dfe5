"""`--format`: one answer in every form that there is."""

from __future__ import annotations

import csv
import io
import json

import pytest

from budget.cli.run import run as run_command
from budget.schema import SCHEMAS

CARD = ("sample:llama-3.1-8b", "--gpu", "12GiB", "--ram", "32GiB")


@pytest.fixture(name="run")
def _run(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        code = run_command([str(a) for a in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.mark.parametrize("command", ["fit", "sweep", "diff"])
def test_json_is_the_same_by_either_name(run, command):
    more = ("--ctx", "4k,8k") if command == "sweep" else ("--b", "-c 8k") if command == "diff" else ()
    by_flag = run(command, *CARD, *more, "--json")
    assert by_flag == run(command, *CARD, *more, "--format", "json")
    data = json.loads(by_flag[1])
    assert SCHEMAS[command].model_validate(data).model_dump(by_alias=True) == data


@pytest.mark.parametrize("command", ["fit", "check"])
def test_two_forms_at_once_are_refused(run, command):
    code, out, err = run(command, "--json", "--format", "csv")
    assert (code, out) == (2, "")
    assert "--format csv" in err


def test_csv_of_a_verdict_has_the_names_and_numbers_of_its_json(run):
    rows = list(csv.DictReader(io.StringIO(run("fit", *CARD, "-c", "8k", "--format", "csv")[1])))
    devices = json.loads(run("fit", *CARD, "-c", "8k", "--json")[1])["devices"]
    for row, device in zip(rows, devices, strict=True):
        assert (row["name"], row["verdict"], row["n_ctx"], row["fits"]) == (
            device["name"],
            "fits",
            "8192",
            "true",
        )
        assert all(row[k] == str(v) for k, v in device.items() if k.endswith("_bytes"))


def test_csv_leaves_what_is_not_known_empty(run):
    out = run("fit", *CARD, "-c", "8k", "--budget", "unlimited", "--format", "csv")[1]
    assert [r["available_bytes"] for r in csv.DictReader(io.StringIO(out))] == ["", ""]


@pytest.mark.parametrize(
    "arguments",
    [("fit",), ("fit", "--buffers"), ("sweep", "--ctx", "4k,8k"), ("diff", "--b", "-c 8k")],
    ids=" ".join,
)
def test_every_row_of_a_markdown_table_has_as_many_cells(run, arguments):
    _, out, _ = run(arguments[0], *CARD, *arguments[1:], "--format", "markdown")
    tables = [[]]
    for line in out.splitlines():
        if line.startswith("|"):
            tables[-1].append(line.count("|"))
        elif tables[-1]:
            tables.append([])
    tables = [t for t in tables if t]
    assert tables
    assert all(len(set(t)) == 1 and len(t) >= 3 for t in tables)


def test_markdown_cannot_be_broken_by_a_name(run):
    from budget.render.markdown import code, escape

    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert escape("a|b\nc<d") == "a\\|b c&lt;d"


def test_verbose_says_where_every_number_comes_from(run):
    _, out, _ = run("fit", *CARD, "-c", "8k", "-v")
    text = " ".join(out.split())
    for words in (
        "CUDA0 weights 4.30 GiB, exact: tensor table of the file",
        "CUDA0 context 1.00 GiB, exact: base cache: 32 x K f16[1024 x 8192], 32 x V f16[1024 x 8192]",
        "exact: llama.cpp's graph at 0c1e570, replayed",
        "CUDA0 overhead",
        "CUDA0 available 12.00 GiB, exact: free memory (--gpu)",
        "CPU available 25.60 GiB, exact: 80% of available RAM (--ram)",
    ):
        assert words in text


def test_the_parts_that_verbose_lists_add_up(run):
    from budget.api import plan, request
    from budget.machine.describe import describe_machine
    from budget.planning.sources import sources_of

    answer = plan(
        request("sample:gpt-oss-20b", "-c 8k", machine=describe_machine(gpus=["24GiB"], ram="64GiB"))
    )
    for device in answer.devices:
        found = [s for s in sources_of(answer) if s.device == device.name and s.part != "available"]
        assert sum(s.size_bytes for s in found) == device.required_bytes


def test_a_name_that_the_output_cannot_show_does_not_stop_the_answer(run, monkeypatch, tmp_path):
    import sys

    monkeypatch.chdir(tmp_path)
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    run_command(["diff", *CARD, "--a", "-ot émile=CPU", "--b", "-c 8k"])
    out.flush()
    assert b"mile=CPU" in out.buffer.getvalue()
