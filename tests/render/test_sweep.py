"""The screen of a sweep: what each device needs is worked out once for each point."""

from __future__ import annotations

import pytest

from budget.planning import grid
from budget.planning.parts import rows_of
from budget.planning.sweep import sweep
from budget.render.sweep import sweep_screen
from plans import described, machine, request


@pytest.mark.parametrize("types", [("f16",), ("f16", "q8_0")], ids=["one-line", "two-lines"])
def test_rows_of_a_point_are_made_once(monkeypatch, types):
    made = []

    def counted(answer):
        made.append(answer)
        return rows_of(answer)

    monkeypatch.setattr(grid, "rows_of", counted)
    found = sweep(request(described(), machine(20, 20)), {"ctx": (4096, 8192), "kv": types})
    sweep_screen(found, name="m")
    sweep_screen(found, name="m")
    assert len(found.points) <= len(made) <= len(found.points) + len(found.series)


def test_a_point_without_a_plan_has_no_rows():
    assert grid.Point(values={"ctx": 4096}, plan=None).rows == {}
