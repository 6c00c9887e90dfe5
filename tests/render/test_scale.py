"""Labels on an axis."""

from __future__ import annotations

import pytest

from budget.render.scale import spread


@pytest.mark.parametrize(
    ("places", "width", "shown"),
    [
        pytest.param([(0, "4k"), (10, "8k"), (19, "16k")], 20, [0, 1, 2], id="all"),
        pytest.param([(0, "78"), (5, "80"), (6, "81")], 8, [0, 2], id="the-last-before-one-beside-it"),
        pytest.param([(i * 2, "100") for i in range(6)], 14, [0, 3, 5], id="every-third-and-the-last"),
        pytest.param([(3, "131072")], 4, [0], id="a-single-one"),
        pytest.param([], 10, [], id="none"),
    ],
)
def test_labels_that_have_room(places, width, shown):
    assert [i for i, _ in spread(places, width)] == shown
