"""A good header cut anywhere asks for more; a good header changed anywhere never does worse than refuse."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ghost
from budget.errors import BadModelError
from budget.gguf.header import Header, NeedMoreBytesError, parse_header

SPEC = {
    "metadata": {
        "general.architecture": ["str", "llama"],
        "general.alignment": ["u32", 64],
        "llama.block_count": ["u32", 2],
        "llama.attention.head_count_kv": ["arr:u32", [8, 0]],
        "tokenizer.ggml.tokens": ["arr:str", ["<s>", "", "a", "bc"]],
        "general.tags": ["arr:str", ["x", "yz"]],
        "tokenizer.ggml.scores": ["arr:f32", [0.0, 1.0, 2.0, 3.0]],
        "general.flag": ["bool", True],
    },
    "tensors": [
        ["token_embd.weight", [256, 4], "Q4_K"],
        ["blk.0.attn_q.weight", [64, 64], "Q8_0"],
        ["output_norm.weight", [64], "F32"],
    ],
}
HEAD = ghost.header_bytes(SPEC)
FILE_BYTES = len(HEAD) + ghost.data_bytes(SPEC)


@pytest.mark.parametrize("file_bytes", [None, FILE_BYTES], ids=["size-unknown", "size-known"])
@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_every_prefix_asks_for_more_and_never_for_too_much(cut, file_bytes):
    with pytest.raises(NeedMoreBytesError) as e:
        parse_header(HEAD[:cut], file_bytes=file_bytes)
    assert cut < e.value.need_bytes <= len(HEAD)
    assert e.value.likely_bytes >= e.value.need_bytes


@pytest.mark.parametrize("cut", range(len(HEAD)))
def test_a_file_cut_inside_its_header_is_refused(cut):
    with pytest.raises(BadModelError):
        parse_header(HEAD[:cut], file_bytes=cut)


def test_a_vocabulary_cut_anywhere_asks_for_more():
    head = ghost.header_bytes(SPEC, vocab=5000)
    for cut in range(0, len(head), 997):
        with pytest.raises(NeedMoreBytesError) as e:
            parse_header(head[:cut])
        assert cut < e.value.need_bytes <= len(head)


def outcome(content, **options):
    """What the parser makes of `content`; anything but these three is a bug and fails the test."""
    try:
        return parse_header(content, **options)
    except (BadModelError, NeedMoreBytesError) as error:
        return error


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(HEAD) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_changed_bytes_are_refused_or_read(changes):
    content = bytearray(HEAD)
    for at, byte in changes:
        content[at] = byte
    assert isinstance(outcome(bytes(content)), Header | BadModelError | NeedMoreBytesError)
    assert isinstance(
        outcome(bytes(content), file_bytes=FILE_BYTES), Header | BadModelError | NeedMoreBytesError
    )


EXTREMES = (0, 1, 2**7, 2**16, 2**30, 2**31 - 1, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(HEAD) - 8), st.sampled_from(EXTREMES), st.sampled_from((4, 8)))
def test_extreme_numbers_anywhere_are_refused_or_read(at, number, width):
    raw = (number & (2 ** (8 * width) - 1)).to_bytes(width, "little")
    content = HEAD[:at] + raw + HEAD[at + width :]
    result = outcome(content, file_bytes=FILE_BYTES)
    if isinstance(result, NeedMoreBytesError):
        assert len(content) < result.need_bytes <= FILE_BYTES
    assert isinstance(result, Header | BadModelError | NeedMoreBytesError)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_noise_after_the_magic_is_refused_or_asks_for_more(noise):
    content = b"GGUF\x03\0\0\0" + noise
    assert isinstance(outcome(content), Header | BadModelError | NeedMoreBytesError)
    assert isinstance(outcome(content, file_bytes=len(content)), Header | BadModelError)
