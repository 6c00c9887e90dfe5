"""Good headers: every value type, both versions, and the same answer as llama.cpp's own reader."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import gguf
import ghost
from budget.gguf.header import Array, NeedMoreBytesError, Value, parse_header, read_header
from budget.gguf.types import BY_NAME

EVERY_TYPE = {
    "general.architecture": ["str", "llama"],
    "t.u8": ["u8", 255],
    "t.i8": ["i8", -128],
    "t.u16": ["u16", 65535],
    "t.i16": ["i16", -32768],
    "t.u32": ["u32", 4294967295],
    "t.i32": ["i32", -2147483648],
    "t.f32": ["f32", 0.5],
    "t.true": ["bool", True],
    "t.false": ["bool", False],
    "t.u64": ["u64", 2**64 - 1],
    "t.i64": ["i64", -(2**63)],
    "t.f64": ["f64", 0.1],
    "t.text": ["str", "späße 🦙"],
    "t.empty": ["str", ""],
    "a.u8": ["arr:u8", [0, 255]],
    "a.i8": ["arr:i8", [-1]],
    "a.u16": ["arr:u16", [1, 2]],
    "a.i16": ["arr:i16", [-5]],
    "a.u32": ["arr:u32", [8, 0, 8]],
    "a.i32": ["arr:i32", [-1, 1]],
    "a.f32": ["arr:f32", [0.25, 1e6]],
    "a.bool": ["arr:bool", [True, False, True]],
    "a.u64": ["arr:u64", [2**63]],
    "a.i64": ["arr:i64", [-(2**62)]],
    "a.f64": ["arr:f64", [1e300]],
    "a.str": ["arr:str", ["a", "", "ü"]],
    "a.none": ["arr:u32", []],
}
TENSORS = [
    ["token_embd.weight", [256, 10], "Q6_K"],
    ["blk.0.ffn_gate_exps.weight", [64, 3, 5], "Q8_0"],
    ["blk.0.attn_norm.weight", [7], "F32"],
    ["four", [2, 3, 4, 5], "BF16"],
    ["empty", [0, 4], "F16"],
    ["scalar", [], "F32"],
]
SPEC = {"metadata": EVERY_TYPE, "tensors": TENSORS}


def test_every_value_type_comes_back_as_it_was_written():
    header = parse_header(ghost.header_bytes(SPEC))
    for key, (kind, content) in EVERY_TYPE.items():
        if kind.startswith("arr:"):
            array = Array(element_type=kind[4:], length=len(content), values=tuple(content))
            assert header.metadata[key] == Value(type="array", value=array)
        else:
            assert header.metadata[key] == Value(type=kind, value=content)
    assert list(header.metadata) == list(EVERY_TYPE)


def test_tensors_come_back_with_sizes_and_offsets():
    header = parse_header(ghost.header_bytes(SPEC))
    expected = [  # name, ne, dimensions, type, offset, bytes; each offset is the sum before it, padded to 32
        ("token_embd.weight", (256, 10, 1, 1), 2, "q6_K", 0, 2100),
        ("blk.0.ffn_gate_exps.weight", (64, 3, 5, 1), 3, "q8_0", 2112, 1020),
        ("blk.0.attn_norm.weight", (7, 1, 1, 1), 1, "f32", 3136, 28),
        ("four", (2, 3, 4, 5), 4, "bf16", 3168, 240),
        ("empty", (0, 4, 1, 1), 2, "f16", 3424, 0),
        ("scalar", (1, 1, 1, 1), 0, "f32", 3424, 4),
    ]
    got = [(t.name, t.ne, t.n_dims, t.type.name, t.offset, t.nbytes) for t in header.tensors]
    assert got == expected
    assert header.by_name["four"].type is BY_NAME["bf16"]


@pytest.mark.parametrize("version", [2, 3])
def test_both_versions_have_one_layout(version):
    header = parse_header(ghost.header_bytes(SPEC, version=version))
    assert (header.version, len(header.tensors), len(header.metadata)) == (version, 6, 28)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind):
    head = ghost.header_bytes(SPEC)
    assert parse_header(kind(head)) == parse_header(head)


@pytest.mark.parametrize("alignment", [1, 8, 32, 64, 4096])
def test_alignment_moves_the_data_and_every_offset(alignment):
    metadata = {"general.alignment": ["u32", alignment]}
    tensors = [["a", [3], "F32"], ["b", [3], "F32"]]
    head = ghost.header_bytes({"metadata": metadata, "tensors": tensors})
    header = parse_header(head)
    unpadded = 24 + (8 + 17 + 4 + 4) + 2 * (8 + 1 + 4 + 8 + 4 + 8)
    assert header.data_offset == -(-unpadded // alignment) * alignment == len(head)
    assert header.tensors[1].offset == -(-12 // alignment) * alignment
    assert header.alignment == alignment


def test_without_tensors_the_data_section_needs_no_padding():
    head = ghost.header_bytes({"metadata": {"general.name": ["str", "x"]}, "tensors": []})
    assert parse_header(head, file_bytes=len(head)).data_offset == len(head) == 24 + 8 + 12 + 4 + 8 + 1


def test_no_metadata_and_no_tensors_is_a_header():
    header = parse_header(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    assert (header.tensors, dict(header.metadata), header.alignment, header.data_offset) == ((), {}, 32, 24)


@pytest.mark.parametrize("kind", ["u8", "i32", "f64", "str"])
def test_an_array_of_more_than_4096_elements_keeps_only_its_length(kind):
    def array(n):
        content = ["x"] * n if kind == "str" else [1] * n
        metadata = {"a": [f"arr:{kind}", content], "after": ["u32", 7]}
        header = parse_header(ghost.header_bytes({"metadata": metadata, "tensors": []}))
        assert header.metadata["after"].value == 7
        return header.metadata["a"].value

    assert array(4097) == Array(element_type=kind, length=4097, values=None)
    assert len(array(4096).values) == 4096


def test_a_tokenizer_is_stepped_over_whatever_its_size():
    header = parse_header(ghost.header_bytes({"metadata": {}, "tensors": []}, vocab=3))
    assert header.metadata["tokenizer.ggml.tokens"].value == Array(element_type="str", length=3, values=None)
    assert header.metadata["tokenizer.ggml.model"].value == "gpt2"


def test_text_that_is_not_utf8_is_escaped():
    pair = ghost.string(b"k\xff") + ghost.value("str", b"\xc3(")
    header = parse_header(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + pair)
    assert header.metadata["k\\xff"].value == "\\xc3("


def test_of_a_very_long_text_the_first_64_kib_are_kept():
    head = ghost.header_bytes({"metadata": {"t": ["str", "x" * 70_000], "after": ["u8", 1]}, "tensors": []})
    header = parse_header(head)
    assert header.metadata["t"].value == "x" * 65536
    assert header.metadata["after"].value == 1


def test_the_last_tensor_needs_no_padding_at_the_end_of_the_file():
    head = ghost.header_bytes({"metadata": {}, "tensors": [["a", [3], "F32"]]})
    assert parse_header(head, file_bytes=len(head) + 12).data_offset == len(head)


@pytest.mark.parametrize("version", [2, 3])
def test_we_agree_with_the_reader_of_the_gguf_package(tmp_path, version):
    spec = {"metadata": EVERY_TYPE, "tensors": [t for t in TENSORS if t[0] not in ("empty", "scalar")]}
    path = ghost.write_ghost(spec, tmp_path / "m.gguf", version=version)
    theirs = gguf.GGUFReader(path)
    ours = parse_header(path.read_bytes(), file_bytes=path.stat().st_size)
    assert_same(ours, theirs)


def test_we_agree_with_the_writer_of_the_gguf_package(tmp_path):
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_head_count_kv([8, 0])
    writer.add_sliding_window_pattern([True, False])
    writer.add_token_list([f"t{i}" for i in range(5000)])
    writer.add_rope_freq_base(1e6)
    writer.add_custom_alignment(64)
    writer.add_tensor("token_embd.weight", np.ones((5, 32), dtype=np.float32))
    writer.add_tensor(
        "blk.0.ffn_up.weight", np.ones((3, 18), dtype=np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q4_0
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert_same(parse_header(path.read_bytes(), file_bytes=path.stat().st_size), gguf.GGUFReader(path))


def assert_same(ours, theirs):
    assert ours.alignment == theirs.alignment
    assert ours.data_offset == theirs.data_offset
    fields = {k: f for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
    assert list(ours.metadata) == list(fields)
    for key, field in fields.items():
        value = ours.metadata[key]
        if value.type != "array":
            assert value.value == field.contents()
            continue
        assert value.value.length == len(field.data)
        if value.value.values:
            assert list(value.value.values) == field.contents()
    assert [(t.name, t.type.id, t.nbytes, ours.data_offset + t.offset) for t in ours.tensors] == [
        (t.name, int(t.tensor_type), t.n_bytes, t.data_offset) for t in theirs.tensors
    ]
    assert [t.ne[: t.n_dims] for t in ours.tensors] == [tuple(map(int, t.shape)) for t in theirs.tensors]


class Prefixes:
    """A file that counts how often and how far it is read."""

    def __init__(self, content):
        self.content = content
        self.asked = []

    def __call__(self, n_bytes):
        self.asked.append(n_bytes)
        return self.content[:n_bytes]


def test_read_header_asks_for_more_until_it_has_enough():
    head = ghost.header_bytes(SPEC, vocab=100_000)
    file = Prefixes(head + b"\0" * 10_000_000)
    assert read_header(file, first_bytes=1000) == parse_header(head)
    assert file.asked == sorted(set(file.asked))
    assert file.asked[-1] <= len(head) * 1.15


def test_read_header_says_when_the_file_ends_inside_its_header():
    from budget.errors import BadModelError

    head = ghost.header_bytes(SPEC)
    with pytest.raises(BadModelError, match="the file ends inside its header"):
        read_header(Prefixes(head[:-40]), first_bytes=100)


def test_need_more_is_no_budget_error():
    from budget.errors import BudgetError

    with pytest.raises(NeedMoreBytesError) as e:
        parse_header(b"GGUF")
    assert not isinstance(e.value, BudgetError)
    assert e.value.need_bytes == 24
