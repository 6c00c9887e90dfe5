"""What a plot shows."""

from __future__ import annotations

from budget.render.chart import between


def test_a_line_through_points_is_straight_between_them():
    assert between(((0, 0.0), (4, 8.0), (8, 8.0)), 1) == 2.0
    assert between(((0, 0.0), (4, 8.0), (8, 8.0)), 6) == 8.0
    assert between(((0, 0.0), (4, 8.0)), 5) is None
