"""What a gate says: for people, for GitHub, for CI servers, for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from budget.planning.expectation import Outcome
from budget.planning.gate import Result, exit_code
from budget.render.json import ENGINE, device_object
from budget.render.screen import GAP, Block, Cell, Table, Text, Title
from budget.units import counted

MARK = {
    "passed": ("ok", "good"),
    "failed": ("FAIL", "bad"),
    "unknown": ("?", "warn"),
    "error": ("ERROR", "bad"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One gate file and what became of its cases."""

    file: str
    lines: tuple[int, ...]
    """Line of each `[[gate]]`, from 1."""
    results: tuple[Result, ...]

    def line(self, result: Result) -> int:
        """The line of the gate that `result` comes from."""
        return self.lines[result.case.gate] if result.case.gate < len(self.lines) else 1


def all_results(checked: Sequence[Checked]) -> list[Result]:
    """The results of every file."""
    return [result for file in checked for result in file.results]


def headline(checked: Sequence[Checked]) -> str:
    """`PASSED: 4 cases` or `FAILED: 1 of 4 cases`."""
    results = all_results(checked)
    bad = [r for r in results if r.status != "passed"]
    if not bad:
        return f"PASSED: {counted(len(results), 'case')}"
    word = "FAILED" if any(r.status == "failed" for r in bad) else "NOT ANSWERED"
    return f"{word}: {len(bad)} of {counted(len(results), 'case')}"


def check_screen(checked: Sequence[Checked]) -> list[Block]:
    """Verdict first, then a row per case, and what each one that failed is instead."""
    style = "good" if exit_code(all_results(checked)) == 0 else "bad"
    blocks: list[Block] = [Title(headline(checked), style)]
    for file in checked:
        rows: list[Sequence[Cell]] = []
        for result in file.results:
            rows.append((MARK[result.status], result.case.name))
            rows += [("", (f"  {text}", "")) for text in details(result)]
        blocks += [GAP, Text(file.file, "bold"), Table((), rows, left=(0, 1), wrap=1, indent=2)]
    return blocks


def details(result: Result) -> list[str]:
    """What is wrong with a case, a sentence each."""
    if result.error is not None:
        hint = f" ({result.error.hint})" if result.error.hint else ""
        return [f"{result.error.message}{hint}"]
    return [f"{o.expectation.text}: {_is(o)}" for o in result.outcomes if o.status != "passed"]


def _is(outcome: Outcome) -> str:
    text = outcome.actual
    return text if text.startswith(("it ", "not known", "no ")) else f"it is {text}"


def github_lines(checked: Sequence[Checked]) -> str:
    """Workflow commands: an annotation for each case that did not pass, and the headline.

    Source: GitHub, "Workflow commands for GitHub Actions": `::error file=,line=,title=::message`, where % and line
    ends are escaped, in properties : and , as well.
    """
    lines = []
    for file in checked:
        for result in file.results:
            if result.status != "passed":
                title = f"budget: {result.case.name}"
                lines.append(annotation(file.file, file.line(result), title, details(result)))
    return "\n".join([*lines, headline(checked)])


def annotation(file: str, line: int, title: str, texts: Sequence[str]) -> str:
    """One error that GitHub shows beside a line of a file."""
    message = _data("\n".join(texts))
    return f"::error file={_property(file)},line={line},title={_property(title)}::{message}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def check_markdown(checked: Sequence[Checked]) -> str:
    """A table per file, for a job summary: every expectation, met or not."""
    from budget.render.markdown import code, to_markdown

    blocks: list[Block] = []
    for file in checked:
        rows = []
        for result in file.results:
            conditions = [_condition(o) for o in result.outcomes] or details(result)
            rows.append([MARK[result.status][0], result.case.name, "; ".join(conditions)])
        blocks += [Text(code(file.file)), Table(["", "case", "expected"], rows, left=(0, 1, 2))]
    blocks.append(Text(f"budget, by the arithmetic of llama.cpp {ENGINE['validated_commit']}"))
    return f"### {headline(checked)}\n\n{to_markdown(blocks)}"


def _condition(outcome: Outcome) -> str:
    return f"{outcome.expectation.text}: {_is(outcome)}"


def junit_xml(checked: Sequence[Checked]) -> str:
    """JUnit's XML: a suite per file, a test case per case."""
    from xml.etree import ElementTree as ET

    root = ET.Element("testsuites", {"name": "budget", **_counts(all_results(checked))})
    for file in checked:
        about = {"name": _xml(file.file), "skipped": "0", **_counts(file.results)}
        suite = ET.SubElement(root, "testsuite", about)
        for result in file.results:
            case = ET.SubElement(
                suite, "testcase", classname=_xml(file.file), name=_xml(result.case.name),
                file=_xml(file.file), line=str(file.line(result)), time="0",
            )  # fmt: skip
            if result.status != "passed":
                tag = "failure" if result.status == "failed" else "error"
                texts = [_xml(text) for text in details(result)]
                ET.SubElement(case, tag, message=texts[0], type=result.status).text = "\n".join(texts)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}'


def _counts(results: Sequence[Result]) -> dict[str, str]:
    """Attributes of a suite: how many, how they ended, and no time, since it takes none worth comparing."""
    statuses = [r.status for r in results]
    return {
        "tests": str(len(statuses)),
        "failures": str(statuses.count("failed")),
        "errors": str(statuses.count("error") + statuses.count("unknown")),
        "time": "0",
    }


def _xml(text: str) -> str:
    """`text` without the characters that XML 1.0 does not have."""
    return "".join(c if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff") else "?" for c in text)


def check_object(checked: Sequence[Checked]) -> dict[str, Any]:
    """`budget/check/v1`."""
    return {
        "schema": "budget/check/v1",
        "engine": ENGINE,
        "passed": all(r.status == "passed" for r in all_results(checked)),
        "exit_code": int(exit_code(all_results(checked))),
        "gates": [
            {"file": file.file, "cases": [_case_object(file, result) for result in file.results]}
            for file in checked
        ],
    }


def _case_object(file: Checked, result: Result) -> dict[str, Any]:
    case, error = result.case, result.error
    return {
        "name": case.name,
        "line": file.line(result),
        "model": case.model,
        "machine": case.machine.name,
        "settings": case.settings,
        "status": result.status,
        "verdict": None if result.plan is None else result.plan.verdict,
        "expectations": [
            {"text": o.expectation.text, "status": o.status, "actual": o.actual} for o in result.outcomes
        ],
        "error": None
        if error is None
        else {"message": error.message, "hint": error.hint, "exit_code": int(error.exit_code)},
        "max_ctx": result.max_ctx,
        "devices": [] if result.plan is None else [device_object(d) for d in result.plan.devices],
    }


def check_rows(checked: Sequence[Checked]) -> list[dict[str, Any]]:
    """A row per expectation, for CSV."""
    rows: list[dict[str, Any]] = []
    for file in checked:
        for result in file.results:
            first = {"file": file.file, "line": file.line(result), "case": result.case.name}
            if result.error is not None:
                rows.append(first | {"expectation": None, "status": "error", "actual": result.error.message})
            rows += [
                first | {"expectation": o.expectation.text, "status": o.status, "actual": o.actual}
                for o in result.outcomes
            ]
    return rows
