"""Every recorded case of the four reference planners: passed, or different on purpose with a reason.

`REFERENCE_CASES` names another file of cases; the default lies in tests/data.
"""

from __future__ import annotations

import json
import lzma
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from budget.errors import BudgetError
from reference import contenox, llama_cpp_ex, oxibonsai, zinc
from reference.case import REFUSED, Adapter, Difference

DATA = Path(__file__).parent / "data"
PLANNERS = {"S0": llama_cpp_ex, "S2": zinc, "S3": contenox, "S4": oxibonsai}
_GIVEN = os.environ.get("REFERENCE_CASES")


def read(path: Path) -> Any:
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return json.load(file)


CASES: list[dict[str, Any]] = read(Path(_GIVEN) if _GIVEN else DATA / "reference_cases.json.xz")
OURS: dict[str, Any] = read(DATA / "reference_differences.json")
"""Our answers to the cases that differ, by id: recorded, read through one by one, and kept."""


def adapter_of(case: dict[str, Any]) -> Adapter | str:
    """The adapter, or why there is none."""
    planner, name = PLANNERS[case["id"].partition("-")[0]], case["function"]
    found = planner.ADAPTERS.get(name)
    if found is not None:
        return found
    if name in planner.SKIPPED:
        return planner.SKIPPED[name]
    if case["system"] == "contenox.callers":
        return contenox.CALLERS
    if case["system"] == "zinc.callers":
        return "caller: zinc's own programs, which its documentation page does not name"
    raise LookupError(f"no adapter for {name}")


def answer(adapter: Adapter, case: dict[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(adapter.answer(case["inputs"])))
    except BudgetError:
        return REFUSED


def difference_of(adapter: Adapter, case: dict[str, Any]) -> Difference | None:
    return next((d for d in adapter.differences if d.applies(case)), None)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['id']}-{c['function'].replace(' ', '-')}")
def test_a_reference_case_passes_or_differs_on_purpose(case):
    adapter = adapter_of(case)
    if isinstance(adapter, str):
        pytest.skip(adapter)
    ours, expected = answer(adapter, case), adapter.normal(case["expected"])
    difference = difference_of(adapter, case)
    if difference is None or ours == expected:
        assert ours == expected
        return
    assert difference.holds(ours, case), f"{difference.name}: {difference.reason}; we answer {ours}"
    if case["id"] in OURS:
        assert [difference.name, ours] == [OURS[case["id"]]["rule"], OURS[case["id"]]["ours"]]


def outcome(case: dict[str, Any]) -> str:
    adapter = adapter_of(case)
    if isinstance(adapter, str):
        return "skipped"
    return "passed" if answer(adapter, case) == adapter.normal(case["expected"]) else "different"


@pytest.mark.skipif(_GIVEN is not None, reason="the counts are those of the cases in tests/data")
def test_as_many_cases_pass_as_the_documentation_says():
    counts = Counter(outcome(case) for case in CASES)
    text = (Path(__file__).parents[1] / "docs/reference-planners.md").read_text(encoding="utf-8")
    assert (
        f"{counts['passed']} pass, {counts['different']} differ on purpose, {counts['skipped']} are skipped"
        in text
    )
    assert {case["id"] for case in CASES if outcome(case) == "different"} == set(OURS)


def test_every_rule_of_difference_is_in_the_documentation():
    text = (Path(__file__).parents[1] / "docs/reference-planners.md").read_text(encoding="utf-8")
    adapters = [a for planner in PLANNERS.values() for a in planner.ADAPTERS.values()]
    names = {d.name for a in adapters for d in a.differences}
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []
