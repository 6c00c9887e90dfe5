"""Our table of block sizes against the one that llama.cpp's own Python package ships."""

from __future__ import annotations

import pytest

import gguf
from budget.gguf.types import TYPES

NEWER_THAN_GGUF = {41: "q1_0", 42: "q2_0"}
"""Types of the validated llama.cpp that a released gguf package may not have yet."""
WRONG_IN_GGUF = {"Q8_1": ((32, 40), (32, 36))}
"""gguf up to 0.19 counts two floats where ggml's `block_q8_1` has two halves; corrected upstream since."""


@pytest.mark.parametrize("theirs", gguf.GGML_QUANT_SIZES, ids=lambda t: t.name)
def test_a_type_has_the_number_name_and_block_of_the_gguf_package(theirs):
    ours = TYPES[int(theirs)]
    sizes = gguf.GGML_QUANT_SIZES[theirs]
    wrong, right = WRONG_IN_GGUF.get(theirs.name, (None, None))
    expected = right if sizes == wrong else sizes
    assert (ours.name.upper(), (ours.block_elems, ours.block_bytes)) == (theirs.name.upper(), expected)


def test_only_types_newer_than_the_gguf_package_are_missing_there():
    unknown_there = {i: t.name for i, t in TYPES.items() if i not in map(int, gguf.GGML_QUANT_SIZES)}
    assert unknown_there.items() <= NEWER_THAN_GGUF.items()


@pytest.mark.parametrize(
    ("name", "ne", "expected"),
    [
        pytest.param("f32", (4096, 1, 1, 1), 16384, id="plain"),
        pytest.param("q4_K", (4096, 4096, 1, 1), 4096 // 256 * 144 * 4096, id="16-blocks-a-row"),
        pytest.param("mxfp4", (2880, 2880, 32, 1), 2880 // 32 * 17 * 2880 * 32, id="three-dimensions"),
        pytest.param("f16", (0, 5, 1, 1), 0, id="empty"),
    ],
)
def test_tensor_bytes_are_whole_blocks(name, ne, expected):
    kind = next(t for t in TYPES.values() if t.name == name)
    assert kind.tensor_bytes(ne) == expected


def test_a_row_that_is_not_whole_blocks_is_refused():
    with pytest.raises(ValueError, match="100 elements is not a whole number of q4_0 blocks"):
        TYPES[2].row_bytes(100)
