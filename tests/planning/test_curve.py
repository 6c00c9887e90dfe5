from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget.errors import UsageError
from budget.planning.curve import line, trace, windowed

# 7 layers of 4096 bytes that keep everything, 35 that keep 512 tokens
GEMMA_LIKE = windowed(1000, 7 * 4096, 35 * 4096, 512)


@pytest.mark.parametrize(
    ("n_ctx", "expected"),
    [(0, 1000), (1, 173_032), (512, 88_081_384), (513, 88_110_056), (1024, 102_761_448)],
)
def test_windows_stop_growing(n_ctx, expected):
    assert GEMMA_LIKE.bytes_at(n_ctx) == expected


def test_slopes_hold_in_their_ranges():
    assert [(s.first_n_ctx, s.last_n_ctx, s.bytes_per_token) for s in GEMMA_LIKE.segments] == [
        (0, 512, 42 * 4096),
        (512, None, 7 * 4096),
    ]
    assert (GEMMA_LIKE.slope_at(512), GEMMA_LIKE.slope_at(513)) == (42 * 4096, 7 * 4096)
    assert GEMMA_LIKE.fixed_bytes == 1000


@pytest.mark.parametrize(
    ("budget", "limit", "expected"),
    [(999, None, None), (1000, None, 0), (1100, None, 1), (2000, None, 10), (2000, 4, 4), (2000, 0, 0)],
)  # fmt: skip
def test_the_largest_context_of_a_line(budget, limit, expected):
    assert line(1000, 100).largest(budget, limit=limit) == expected


def test_contexts_come_in_whole_steps():
    curve = line(0, 10, step=256)
    assert curve.bytes_at(1) == curve.bytes_at(256) == 2560
    assert (curve.largest(2559), curve.largest(2560), curve.largest(7679)) == (0, 256, 512)


def test_windows_alone_are_bounded_by_nothing():
    curve = windowed(0, 0, 10, 100)
    assert curve.largest(999) == 99
    assert (curve.largest(1000), curve.bounded()) == (None, False)
    assert (curve.largest(1000, limit=5000), curve.bounded(limit=5000)) == (5000, True)


@given(
    st.integers(0, 10**6), st.integers(0, 50), st.integers(0, 50), st.integers(0, 999), st.integers(0, 10**5)
)
def test_the_largest_context_fits_and_one_more_token_does_not(fixed, full, window, n_window, budget):
    curve = windowed(fixed, full, window, n_window)
    best = curve.largest(budget, limit=5000)
    if best is None:
        assert fixed > budget
        return
    assert curve.bytes_at(best) <= budget
    assert best == 5000 or curve.bytes_at(best + 1) > budget


@pytest.mark.parametrize("sizes", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_sizes_are_refused(sizes):
    with pytest.raises(UsageError):
        windowed(*sizes, 10)


def test_negative_contexts_are_refused():
    with pytest.raises(UsageError, match="negative"):
        line(0, 1).bytes_at(-5)


def test_a_curve_is_traced_to_the_byte():
    def size(n):
        return 5000 + 30 * n if n <= 1536 else 5000 + 30 * 1536 + 7 * (n - 1536)

    asked = []
    curve = trace(lambda n: asked.append(n) or size(n), first=256, last=131072, step=256)
    assert [(s.first_n_ctx, s.last_n_ctx, s.bytes_per_token) for s in curve.segments] == [
        (256, 1536, 30),
        (1536, 131072, 7),
    ]
    assert all(curve.bytes_at(n) == size(n) for n in range(256, 131072, 256))
    assert len(asked) < 60
    with pytest.raises(UsageError, match="beyond the profile"):
        curve.bytes_at(131073)


@given(st.lists(st.tuples(st.integers(2, 40), st.integers(0, 9)), min_size=1, max_size=4))
def test_what_was_asked_is_always_exact(pieces):
    sizes = [7]
    for length, slope in pieces:
        sizes += [sizes[-1] + slope * i for i in range(1, length + 1)]
    asked = {}
    curve = trace(lambda n: asked.setdefault(n, sizes[n]), first=0, last=len(sizes) - 1, step=1)
    assert all(curve.bytes_at(n) == size for n, size in asked.items())


def test_a_fraction_of_a_byte_per_token_stays_exact():
    curve = trace(lambda n: n // 2, first=0, last=512, step=256)
    assert curve.slope_at(256) == Fraction(1, 2)
    assert curve.plus(10).bytes_at(512) == 266
