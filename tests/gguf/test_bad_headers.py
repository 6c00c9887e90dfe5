"""Bad files: each is refused at once, with a sentence of its own."""

from __future__ import annotations

import struct

import pytest

import ghost
from budget.errors import BadModelError
from budget.gguf.header import NeedMoreBytesError, parse_header

ZEROS = b"\0" * 200


def first(n_tensors=0, n_kv=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors & 2**64 - 1, n_kv & 2**64 - 1)


def pairs(*entries):
    """A header with these raw metadata entries."""
    return first(n_kv=len(entries)) + b"".join(entries)


def pair(key, kind, content):
    return ghost.string(key) + ghost.value(kind, content)


def tensors(*rows, metadata=b"", n_kv=0):
    """A header with rows of (name, dims, type number, offset)."""
    table = b"".join(
        ghost.string(name) + struct.pack(f"<I{len(ne)}qiQ", len(ne), *ne, kind, offset)
        for name, ne, kind, offset in rows
    )
    return first(n_tensors=len(rows), n_kv=n_kv) + metadata + table


def array(kind, n, key="a"):
    return ghost.string(key) + struct.pack("<IiQ", 9, kind, n)


MAGIC = [
    pytest.param(b"PK\x03\x04", "zip archive or a PyTorch", id="zip"),
    pytest.param(b"\x80\x02}q", "pickle", id="pickle"),
    pytest.param(b"lmgg\0\0\0\0", "old ggml file", id="ggml"),
    pytest.param(b"fmgg\1\0\0\0", "old ggmf file", id="ggmf"),
    pytest.param(b"tjgg\3\0\0\0", "old ggjt file", id="ggjt"),
    pytest.param(b"algg\1\0\0\0", "old ggla file", id="ggla"),
    pytest.param(b"<!DOCTYPE html><html>", "an HTML page", id="doctype"),
    pytest.param(b"\n <html lang=en>", "an HTML page", id="html"),
    pytest.param(struct.pack("<Q", 5000) + b'{"__metadata__"', "a safetensors file", id="safetensors"),
    pytest.param(b'{"error":"Not Found"}', "JSON", id="json"),
    pytest.param(b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer", id="lfs-pointer"),
    pytest.param(b"\x1f\x8b\x08\0", "gzip data", id="gzip"),
    pytest.param(b"\x7fELF", "a program", id="elf"),
    pytest.param(b"FUGG\0\0\0\3", "magic byte-swapped", id="swapped-magic"),
    pytest.param(bytes(64), "starts with zeros", id="zeros"),
    pytest.param(b"GGML    ", "starts with b'GGML', not b'GGUF'", id="other"),
]


@pytest.mark.parametrize(("start", "message"), MAGIC)
def test_what_is_not_gguf_is_named_for_what_it_is(start, message):
    with pytest.raises(BadModelError, match=message) as e:
        parse_header(start)
    assert "not a GGUF file" in e.value.message
    assert e.value.hint


HUGE = 2**62
BAD = [
    pytest.param(first(version=0), "version 0", id="version-0"),
    pytest.param(first(version=1), "version 1, which llama.cpp no longer reads", id="version-1"),
    pytest.param(first(version=4), "version 4, and only 2 and 3", id="version-4"),
    pytest.param(first(version=0x03000000), "other byte order", id="byte-swapped"),
    pytest.param(first(n_tensors=-1), r"negative number of tensors \(-1\) at byte 8", id="negative-tensors"),
    pytest.param(first(n_kv=-2), r"negative number of metadata keys \(-2\) at byte 16", id="negative-keys"),
    pytest.param(first(n_tensors=HUGE), "claims 4,611,686,018,427,387,904 tensors", id="huge-tensors"),
    pytest.param(first(n_kv=HUGE), "claims 4,611,686,018,427,387,904 metadata keys", id="huge-keys"),
    pytest.param(pairs(pair("", "u8", 1)), "key 0 at byte 24 has an empty name", id="empty-key"),
    pytest.param(
        pairs(pair("k", "u8", 1), pair("k", "u8", 1)),
        "'k' appears twice, again at byte 38",
        id="duplicate-key",
    ),
    pytest.param(
        pairs(struct.pack("<Q", 65536) + b"k" * 65536 + ZEROS), "name of metadata key 0", id="long-key"
    ),
    pytest.param(pairs(struct.pack("<Q", HUGE) + ZEROS), "at most 65,535 are allowed", id="huge-key"),
    pytest.param(
        pairs(ghost.string("k") + struct.pack("<I", 13) + ZEROS), "type 13, which does not", id="type-13"
    ),
    pytest.param(
        pairs(ghost.string("k") + struct.pack("<i", -1) + ZEROS), "type 4294967295", id="type-minus-1"
    ),
    pytest.param(
        pairs(ghost.string("k") + struct.pack("<IQ", 8, HUGE) + ZEROS),
        "at most 1,073,741,824",
        id="huge-string",
    ),
    pytest.param(pairs(array(9, 1) + ZEROS), "'a' at byte 37 is an array of arrays", id="nested-array"),
    pytest.param(pairs(array(77, 1) + ZEROS), "elements of type 77, which does not exist", id="array-type"),
    pytest.param(pairs(array(0, 2**30 + 1) + ZEROS), "claims 1,073,741,825 elements", id="huge-array"),
    pytest.param(pairs(array(0, 2**30) + ZEROS), "longer than 67,108,864 bytes", id="array-over-the-limit"),
    pytest.param(pairs(array(8, 2**30) + ZEROS), "longer than 67,108,864 bytes", id="strings-over-the-limit"),
    pytest.param(
        pairs(array(8, 9000) + struct.pack("<Q", HUGE) + bytes(80_000)),
        "element 0 of .* claims",
        id="huge-element",
    ),
    pytest.param(pairs(pair("general.alignment", "u64", 32)), "must be u32 and is u64", id="alignment-u64"),
    pytest.param(pairs(pair("general.alignment", "arr:u32", [32])), "u32 and is array", id="alignment-array"),
    pytest.param(pairs(pair("general.alignment", "u32", 0)), "is 0, not a power of two", id="alignment-0"),
    pytest.param(pairs(pair("general.alignment", "u32", 48)), "is 48, not a power of two", id="alignment-48"),
    pytest.param(tensors(("n" * 64, [1], 0, 0)), "claims 64 bytes; at most 63", id="name-of-64"),
    pytest.param(
        tensors(("t", [8], 0, 0), ("t", [8], 0, 32)),
        "'t' appears twice, again at byte 57",
        id="duplicate-tensor",
    ),
    pytest.param(tensors(("t", [1] * 5, 0, 0)), "5 dimensions; at most 4", id="five-dimensions"),
    pytest.param(tensors(("t", [-8], 0, 0)), "negative dimension", id="negative-dimension"),
    pytest.param(tensors(("t", [2**40, 2**40], 0, 0)), "more elements than 64 bits", id="too-many-elements"),
    pytest.param(
        tensors(("t", [2**62, 2**62, 0], 0, 0)), "more elements than 64 bits", id="overflow-before-zero"
    ),
    pytest.param(tensors(("t", [2**62], 0, 0)), "more bytes than 64 bits count", id="too-many-bytes"),
    pytest.param(
        tensors(("t", [2**60], 24, 0), *((f"u{i}", [2**60], 24, (i + 1) << 60) for i in range(8))),
        "data overflow 64 bits",
        id="sum-of-bytes",
    ),
    pytest.param(
        tensors(("t", [33], 2, 0)), "rows of 33 elements, not whole q4_0 blocks of 32", id="half-block"
    ),
    pytest.param(tensors(("t", [32], 4, 0)), r"type 4 \(Q4_2\), which ggml has removed", id="removed-q4_2"),
    pytest.param(tensors(("t", [32], 31, 0)), r"\(Q4_0_4_4\), which ggml has removed", id="removed-repacked"),
    pytest.param(tensors(("t", [32], 43, 0)), "type 43, which does not exist", id="type-43"),
    pytest.param(tensors(("t", [32], -1, 0)), "type -1, which does not exist", id="tensor-type-minus-1"),
    pytest.param(tensors(("t", [8], 0, 32)), "offset 32 where 0 is expected", id="first-offset"),
    pytest.param(tensors(("t", [8], 0, 0), ("u", [8], 0, 64)), "offset 64 where 32 is expected", id="gap"),
    pytest.param(
        tensors(("t", [9], 0, 0), ("u", [8], 0, 36)), "offset 36 where 64 is expected", id="unpadded"
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD)
def test_a_bad_header_is_refused_with_its_own_message(content, message):
    with pytest.raises(BadModelError, match=message) as e:
        parse_header(content)
    assert e.value.hint


@pytest.mark.parametrize("n", [4, 5, 31, 32, 33, 36, 37, 38])
def test_every_removed_type_is_named(n):
    with pytest.raises(BadModelError, match=f"type {n} .*which ggml has removed"):
        parse_header(tensors(("t", [256], n, 0)))


TOO_BIG = [
    pytest.param(first(n_tensors=100), "claims 100 tensors", id="tensors"),
    pytest.param(first(n_kv=100), "claims 100 metadata keys", id="keys"),
    pytest.param(pairs(struct.pack("<Q", 5000) + ZEROS), "the name of metadata key 0 at byte 32", id="key"),
    pytest.param(
        pairs(ghost.string("k") + struct.pack("<IQ", 8, 5000) + ZEROS),
        "metadata key 'k' at byte 45",
        id="string",
    ),
    pytest.param(pairs(array(4, 5000) + ZEROS), "metadata array 'a' at byte 49", id="array"),
    pytest.param(pairs(array(8, 5000) + ZEROS), "metadata array 'a' at byte 49", id="strings"),
    pytest.param(
        pairs(array(8, 3, "tokenizer.x") + struct.pack("<QQ", 0, 990) + ZEROS), "element 1 of", id="element"
    ),
]


@pytest.mark.parametrize(("content", "message"), TOO_BIG)
def test_what_is_larger_than_the_file_is_refused_before_more_is_read(content, message):
    with pytest.raises(BadModelError, match=message):
        parse_header(content, file_bytes=1000)


@pytest.mark.parametrize(("content", "message"), TOO_BIG)
def test_the_same_asks_for_more_while_the_size_of_the_file_is_unknown(content, message):
    with pytest.raises(NeedMoreBytesError) as e:
        parse_header(content)
    assert e.value.need_bytes > len(content)


def test_data_past_the_end_of_the_file_names_the_first_tensor_cut_off():
    head = ghost.header_bytes({"metadata": {}, "tensors": [[f"t{i}", [1000], "F32"] for i in range(9)]})
    size = len(head) + 3 * 4000  # 4000 is a multiple of 32, so three of nine tensors are whole
    with pytest.raises(BadModelError, match=r"its tensors need .*first one cut off is 't3'") as e:
        parse_header(head, file_bytes=size)
    assert e.value.message.startswith(f"the file is incomplete: it has {size:,} bytes")


def test_one_byte_less_than_the_last_tensor_needs_is_too_little():
    head = ghost.header_bytes({"metadata": {}, "tensors": [["a", [3], "F32"]]})
    with pytest.raises(BadModelError, match="incomplete"):
        parse_header(head, file_bytes=len(head) + 11)


def test_a_tensor_with_a_hostile_name_cannot_reach_the_terminal():
    with pytest.raises(BadModelError) as e:
        parse_header(tensors(("\x1b[2J", [8], 0, 5)))
    assert "\x1b" not in e.value.message


@pytest.mark.parametrize("kind", ["u8", "str"])
def test_many_arrays_under_the_length_limit_are_refused_together(kind):
    content = [""] * 4096 if kind == "str" else [0] * 4096
    one = ghost.value(f"arr:{kind}", content)
    raw = b"".join(ghost.string(f"k{i}") + one for i in range(257))
    with pytest.raises(BadModelError, match="more than 1,048,576 array elements"):
        parse_header(first(n_kv=257) + raw)


def test_text_without_end_is_refused():
    one = ghost.value("str", "x" * 65536)
    raw = b"".join(ghost.string(f"k{i}") + one for i in range(65))
    with pytest.raises(BadModelError, match="more than 4,194,304 bytes of text"):
        parse_header(first(n_kv=65) + raw)


def test_a_header_longer_than_the_limit_is_refused():
    head = ghost.header_bytes({"metadata": {}, "tensors": []}, vocab=5000)
    with pytest.raises(BadModelError, match="the header is longer than 20,000 bytes"):
        parse_header(head, limit_bytes=20_000)
