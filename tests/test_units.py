from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget.errors import UsageError
from budget.units import MAX_BYTES, format_count, format_size, parse_count, parse_size, round_up


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("4096", 4096), ("1b", 1), ("1KiB", 1024), ("1K", 1024), ("1k", 1024), ("1KB", 1000),
        ("2MiB", 2_097_152), ("2M", 2_097_152), ("2MB", 2_000_000), ("24GiB", 25_769_803_776),
        ("24G", 25_769_803_776), ("24GB", 24_000_000_000), ("1T", 1_099_511_627_776), ("1TB", 10**12),
        ("1.5GiB", 1_610_612_736), (".5k", 512), ("0.1GB", 100_000_000), ("1.9", 1), (" 8 GiB ", 8_589_934_592),
        ("9223372036854775807", 9223372036854775807),
    ],
)  # fmt: skip
def test_a_size_means_what_its_unit_says(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "GiB",
        "-1",
        "+1",
        "1e3",
        "0x10",
        "1_000",
        "1,000",
        "8Gi",
        "8GiBB",
        "1 0k",
        "nan",
        "inf",
        "1.GiB",
        "１",
    ],
)
def test_nonsense_is_refused_with_the_text_whole(text):
    with pytest.raises(UsageError) as error:
        parse_size(text)
    assert repr(text) in error.value.message
    assert error.value.hint


@pytest.mark.parametrize("text", ["9223372036854775808", "8388608TiB", "9" * 400 + "G"])
def test_sizes_beyond_an_int64_are_refused(text):
    with pytest.raises(UsageError) as error:
        parse_size(text)
    assert text in error.value.message


@given(st.integers(0, MAX_BYTES))
def test_a_number_of_bytes_comes_back_whole(n):
    assert parse_size(str(n)) == n


@given(st.integers(0, (1 << 63) - 1 >> 30), st.sampled_from([("KiB", 10), ("MiB", 20), ("GiB", 30)]))
def test_a_whole_number_of_a_unit_comes_back_whole(n, unit):
    name, bits = unit
    assert parse_size(f"{n}{name}") == n << bits


@given(st.integers(0, 1 << 62))
def test_what_is_shown_is_within_a_twentieth_of_what_it_was(n):
    shown = parse_size(format_size(n))
    assert abs(shown - n) <= max(n / 20, 512)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_a_usage_error(text):
    try:
        size_bytes = parse_size(text)
    except UsageError as error:
        size_bytes = 0 if repr(text) in error.message else -1
    assert 0 <= size_bytes <= MAX_BYTES


@pytest.mark.parametrize(
    ("text", "expected"), [("32768", 32768), ("32k", 32768), ("1M", 1048576), (" 8 ", 8)]
)
def test_counts_take_binary_letters(text, expected):
    assert parse_count(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "1.5k", "k", "1g", "1 k"])
def test_other_counts_are_refused(text):
    with pytest.raises(UsageError, match="not a count"):
        parse_count(text)


def test_people_read_binary_units():
    assert [format_size(n) for n in (0, 1023, 1024, 1 << 20, 3 << 29, 1 << 40)] == [
        "0 B", "1023 B", "1 KiB", "1.0 MiB", "1.50 GiB", "1.00 TiB",
    ]  # fmt: skip
    assert format_count(131072) == "131,072"
    assert [round_up(n, 256) for n in (0, 1, 256, 257)] == [0, 256, 256, 512]
