"""`--format`: one answer in every form that there is."""

from __future__ import annotations

import csv
import io
import json
import shlex

import pytest

import ghost
import truth
from budget.cli.commands import COMMANDS
from budget.cli.run import run as run_command
from budget.schema import SCHEMAS
from cli.answers import ANSWERS, SAMPLE, prepare
from source.servers import serve
from source.test_hub import FILES, REPO, FakeHub

CARD = (SAMPLE, "--gpu", "12GiB", "--ram", "32GiB")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    prepare(tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "80")


def forms_of(run, name):
    """Exit code and stdout by form."""
    words = shlex.split(ANSWERS[name])
    if "--admit" in words:
        return {form: run(*words, "--ledger", f"{form}.json", "--format", form)[:2] for form in FORMS}
    return {form: run(*words, "--format", form)[:2] for form in FORMS}


FORMS = ("plain", "json", "markdown", "csv")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_has_every_form_and_one_exit_code(run, name):
    found = forms_of(run, name)
    assert len({code for code, _ in found.values()}) == 1
    assert all(out.strip() for form, (_, out) in found.items() if form != "csv"), found

    data = json.loads(found["json"][1])
    schema = SCHEMAS[data["schema"].split("/")[1]]
    assert schema.model_validate(data).model_dump(by_alias=True, exclude_unset=True) == data

    rows = list(csv.reader(io.StringIO(found["csv"][1])))
    assert {len(row) for row in rows} <= {len(rows[0])} if rows else name == "advise-nothing"

    for table in tables_of(found["markdown"][1]):
        assert len(set(table)) == 1
        assert table[0] >= 3


def tables_of(markdown):
    """Bars in each line of each table."""
    tables = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            tables[-1].append(line.replace("\\|", "").count("|"))
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


@pytest.mark.parametrize(
    "name", ["fit", "fit-several", "sweep", "diff", "check-failing", "place", "scan", "config"]
)
def test_json_is_the_same_by_either_name(run, name):
    words = shlex.split(ANSWERS[name])
    assert run(*words, "--json") == run(*words, "--format", "json")


@pytest.mark.parametrize("name", COMMANDS)
def test_two_forms_at_once_are_refused_by_every_command(run, name):
    words = shlex.split(next(line for line in ANSWERS.values() if line.split()[0] == name))
    code, out, err = run(*words, "--json", "--format", "csv")
    assert (code, out) == (2, "")
    assert "--format csv" in err


CODES = {"fit-short": 3, "fit-several": 3, "fit-refused": 3, "request-too-long": 3, "check-failing": 3, "verify": 3,
         "advise-nothing": 3, "fit": 0, "fit-evict": 0, "fit-inventory": 0, "max-ctx": 0, "config": 0,
         "cache": 0}  # fmt: skip


@pytest.mark.parametrize("name", CODES)
def test_quiet_prints_nothing_and_keeps_the_exit_code(run, name):
    assert run(*shlex.split(ANSWERS[name]), "-q")[:2] == (CODES[name], "")


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


def test_markdown_cannot_be_broken_by_a_name(run):
    from budget.render.markdown import code, escape

    assert code("a`b") == "``a`b``"
    assert code("`") == "`` ` ``"
    assert escape("a|b\nc<d") == "a\\|b c&lt;d"


def test_verbose_says_where_every_number_comes_from(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = run("fit", *CARD, "-c", "8k", "-v")
    text = " ".join(out.split())
    for words in (
        "CUDA0 weights 4.30 GiB exact tensor table of the file",
        "CUDA0 context 1.00 GiB exact base cache: 32 x K f16[1024 x 8192], 32 x V f16[1024 x 8192]",
        "exact llama.cpp's graph at 0c1e570, replayed",
        "CUDA0 overhead",
        "CUDA0 available 12.00 GiB exact free memory (--gpu)",
        "CPU available 25.60 GiB exact 80% of available RAM (--ram)",
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


def test_every_quantisation_of_a_repository_is_a_row_in_every_form(run, monkeypatch):
    spec = truth.specs()["toy/llama-dense"]
    small = ghost.header_bytes(spec) + bytes(ghost.data_bytes(spec))
    for name in ("model-BF16.gguf", "model-Q4_K_M.gguf"):
        monkeypatch.setitem(FILES, name, small)
    monkeypatch.delitem(FILES, "mmproj-model-F16.gguf")
    with serve(FakeHub) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        asked = ("fit", f"hf://{REPO}", "--gpu", "24GiB", "--ram", "64GiB", "--no-cache")
        found = {form: run(*asked, "--format", form)[:2] for form in FORMS}
    assert {code for code, _ in found.values()} == {0}, found
    data = json.loads(found["json"][1])
    assert SCHEMAS["quants"].model_validate(data).model_dump(by_alias=True) == data
    quants = {row["quant"] for row in data["quants"]}
    assert {"BF16", "Q4_K_M", "Q8_0"} <= quants
    assert {row["quant"] for row in csv.DictReader(io.StringIO(found["csv"][1]))} == quants
    fitting = sum(row["result"] is not None and row["result"]["verdict"] == "fits" for row in data["quants"])
    assert fitting == 2
    assert found["plain"][1].startswith(f"FITS in 2 of {len(quants)} quantisations: hf://{REPO}\n")
    assert "not a GGUF file: it is an HTML page" in " ".join(found["plain"][1].split())
    assert max(len(line) for line in found["plain"][1].splitlines() if "http://" not in line) <= 80
    assert all(f"| {quant} |" in found["markdown"][1] for quant in quants)
