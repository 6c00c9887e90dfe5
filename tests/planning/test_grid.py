"""What lines of a grid are called."""

from __future__ import annotations

import pytest

from budget.planning.grid import Series


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"ctk": "f16", "ctv": "q8_0"}, "K/V f16/q8_0"),
        ({"ngl": 3, "ctk": "f16", "ctv": "q8_0"}, "ngl 3, K/V f16/q8_0"),
        ({"ctv": "q8_0"}, "ctv q8_0"),
        ({}, ""),
    ],
)
def test_both_types_have_one_name(values, name):
    assert Series(values=values, points=()).name == name
