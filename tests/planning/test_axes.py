"""How large a grid may be."""

from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.planning.axes import check_axes


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"ctx": range(64), "ngl": range(64)}, "4,096 points (64 of --ctx x 64 of --ngl), at most 2,048"),
        ({"ctx": range(2), "ngl": range(13), "ctk": range(9)}, "117 lines"),
        ({"ctk": range(9), "ctv": range(9)}, "81 lines (9 of --ctk x 9 of --ctv), at most 64"),
    ],
)
def test_a_grid_too_large_is_refused_before_it_starts(axes, message):
    with pytest.raises(UsageError) as e:
        check_axes(axes)
    assert e.value.message.startswith(message)
