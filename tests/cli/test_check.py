"""`budget check` through the command: files, forms, exit codes, and the Action and the hook that use it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from budget.cli.run import run as run_command
from budget.render.gate_example import EXAMPLE
from budget.schema import SCHEMAS

ROOT = Path(__file__).parents[2]
MIXED = """\
[machines]
card = { gpu = "24GiB", ram = "64GiB" }

[[gate]]
name = "fits"
model = "sample:llama-3.1-8b"
machine = "card"
settings = "-c 8k"
fits = true

[[gate]]
name = "too large, and 100 % sure"
model = "sample:llama-3.3-70b"
machine = "card"
settings = "-c 8k -ngl all"
expect = ["fits = true", "max_ctx >= 4096", "ram <= 64GiB"]
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "BUDGET_BUDGET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(name="check")
def _check(run):
    return lambda *arguments: run("check", *arguments)


@pytest.fixture(name="gate")
def _gate(tmp_path):
    path = tmp_path / "GATE.toml"
    path.write_text(MIXED)
    return path


def test_the_example_passes_as_it_stands_and_is_never_overwritten(check, tmp_path):
    assert check("--init")[0] == 0
    assert (tmp_path / "GATE.toml").read_text() == EXAMPLE
    code, out, _ = check()
    assert code == 0
    assert out.startswith("PASSED: 4 cases\n")
    code, _, err = check("--init")
    assert (code, "there already" in err) == (2, True)


def test_the_verdict_comes_first_then_what_each_failure_is_instead(check, gate):
    code, out, _ = check(gate)
    assert code == 3
    lines = out.splitlines()
    assert lines[0] == "FAILED: 1 of 2 cases"
    assert re.match(r"  ok +fits$", lines[3])
    assert re.match(r"  FAIL +too large", lines[4])
    assert "max_ctx >= 4096: no context fits" in out
    assert "ram <= 64GiB" not in out


def test_annotations_name_file_and_line_and_escape_what_would_end_them(check, gate):
    code, out, _ = check(gate.name, "--format", "github")
    first, *_, last = out.splitlines()
    line = MIXED.splitlines().index('name = "too large, and 100 % sure"')
    assert first.startswith(
        f"::error file=GATE.toml,line={line},title=budget%3A too large%2C and 100 %25 sure::"
    )
    assert "%0Amax_ctx >= 4096: no context fits" in first
    assert (code, last) == (3, "FAILED: 1 of 2 cases")


def test_a_workflow_gets_annotations_and_a_job_summary_unasked(check, gate, monkeypatch, tmp_path):
    summary = tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert "::error file=" in check(gate)[1]
    text = summary.read_text()
    assert text.startswith("before\n### FAILED: 1 of 2 cases\n")
    assert "| FAIL | too large" in text


def test_junit_counts_failures_and_errors_apart(check, gate, tmp_path):
    gate.write_text(MIXED + '\n[[gate]]\nmodel = "gone.gguf"\nmachine = "card"\nfits = true\n')
    report = tmp_path / "report.xml"
    code, _, _ = check(gate, "--junit", report)
    root = ET.parse(report).getroot()
    (suite,) = root
    assert code == 3
    counts = {"tests": "3", "failures": "1", "errors": "1", "time": "0"}
    assert counts.items() <= root.attrib.items()
    assert counts.items() <= suite.attrib.items()
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]
    assert ET.fromstring(check(gate, "--format", "junit")[1])[0].get("name") == str(gate)


def test_json_is_what_its_schema_says(check, gate):
    gate.write_text(MIXED + '\n[[gate]]\nmodel = "gone.gguf"\nmachine = "card"\nfits = true\n')
    code, out, _ = check(gate, "--json")
    data = json.loads(out)
    assert SCHEMAS["check"].model_validate(data).model_dump(by_alias=True) == data
    assert (code, data["exit_code"], data["passed"]) == (3, 3, False)
    cases = data["gates"][0]["cases"]
    assert [c["status"] for c in cases] == ["passed", "failed", "error"]
    assert cases[2]["error"]["exit_code"] == 4


def test_csv_has_a_row_per_expectation(check, gate):
    rows = list(csv.DictReader(io.StringIO(check(gate, "--format", "csv")[1])))
    assert [(r["case"], r["expectation"], r["status"]) for r in rows] == [
        ("fits", "fits = true", "passed"),
        ("too large, and 100 % sure", "fits = true", "failed"),
        ("too large, and 100 % sure", "max_ctx >= 4096", "failed"),
        ("too large, and 100 % sure", "ram <= 64GiB", "passed"),
    ]


def test_a_model_that_cannot_be_read_is_no_failure_but_no_pass(check, tmp_path):
    (tmp_path / "g.toml").write_text('[[gate]]\nmodel = "gone.gguf"\nmachine = {ram = "8GiB"}\nfits = true\n')
    code, out, _ = check("g.toml")
    assert code == 4
    assert out.startswith("NOT ANSWERED: 1 of 1 case\n")


def test_paths_are_meant_from_the_folder_of_the_gate(check, tmp_path, capsys):
    folder = tmp_path / "gates"
    folder.mkdir()
    run_command(["devices", "--gpu", "24GiB", "--ram", "64GiB", "--json"])
    (folder / "rig.json").write_text(capsys.readouterr().out)
    (folder / "g.toml").write_text(
        '[[gate]]\nmodels = ["sample:llama-3.1-8b", "gone.gguf"]\nmachine = "rig.json"\nfits = true\n'
    )
    code, out, _ = check(folder / "g.toml")
    assert code == 4
    assert "ok     sample:llama-3.1-8b, rig.json" in out
    assert str(folder / "gone.gguf") in out.replace("\n" + " " * 13, "")


def test_a_gate_is_judged_by_what_it_says_alone(check, gate, monkeypatch):
    monkeypatch.setenv("BUDGET_BUDGET", "1GiB")
    monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "131072")
    assert json.loads(check(gate, "--json")[1])["gates"][0]["cases"][0]["status"] == "passed"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[gate]]\nmodle = 'x'\n", ("no key 'modle'", "did you mean model?")),
        ("[[gate]\n", ("not TOML", "--init")),
        ("", ("no [[gate]]", "--init")),
    ],
)
def test_a_file_that_makes_no_sense_is_wrong_usage(check, tmp_path, text, words):
    (tmp_path / "g.toml").write_text(text)
    code, out, err = check("g.toml")
    assert (code, out) == (2, "")
    assert "g.toml" in err
    assert all(word in err for word in words)


def test_a_missing_file_says_how_to_get_one(check):
    code, _, err = check()
    assert (code, "budget check --init" in err) == (2, True)


def test_quiet_prints_nothing(check, gate):
    assert check(gate, "-q") == (3, "", "")


def test_the_example_uses_only_what_ships_with_budget():
    data = tomllib.loads(EXAMPLE)
    assert all(model.startswith("sample:") for model in data["models"].values())


# --- the Action and the hook


def scalar(text, key):
    """The text of one key of a small YAML file."""
    return re.search(rf"^\s*-?\s*{key}: (.*)$", text, re.MULTILINE)[1]


def script(text):
    """The last `run: |` of action.yml."""
    body = text[text.rindex("run: |") :].splitlines()[1:]
    indent = len(body[0]) - len(body[0].lstrip())
    return "\n".join(line[indent:] for line in body)


@pytest.mark.parametrize(("fail", "code"), [("true", 3), ("false", 0)])
def test_the_script_of_the_action_runs_budget_and_hands_its_exit_code_on(gate, tmp_path, fail, code):
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    text = (ROOT / "action.yml").read_text()
    assert scalar(text, "using") == "composite"
    program = tmp_path / "budget" / "bin" / "budget"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {Path(sys.executable).parent / "budget"} "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ, "RUNNER_TEMP": str(tmp_path), "GATE": "GATE.toml\n", "JUNIT": "out.xml", "FAIL": fail,
        "GITHUB_OUTPUT": str(tmp_path / "output"), "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }  # fmt: skip
    run = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script(text)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == code, run.stderr
    assert "::error file=GATE.toml" in run.stdout
    assert (tmp_path / "output").read_text() == "exit-code=3\n"
    assert (tmp_path / "out.xml").exists()
    assert "FAILED" in (tmp_path / "summary.md").read_text()


def test_no_input_of_the_action_is_pasted_into_a_script():
    text = (ROOT / "action.yml").read_text()
    blocks = re.findall(r"run: \|\n((?: {8}.*\n|\n)+)", text)
    assert len(blocks) == text.count("run: ")
    assert not [block for block in blocks if "${{" in block]


def test_the_hook_runs_on_every_commit_because_models_and_machines_change_too():
    text = (ROOT / ".pre-commit-hooks.yaml").read_text()
    assert scalar(text, "entry") == "budget check"
    assert (scalar(text, "always_run"), scalar(text, "pass_filenames")) == ("true", "false")
    assert "files:" not in text
