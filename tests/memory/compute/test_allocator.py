"""The rules of ggml's graph allocator, one by one, in round units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from budget.gguf.types import F16, F32
from budget.memory.compute.allocator import MAX_CHUNKS, DynAllocator, allocate
from budget.memory.compute.tensor import Tensor, nbytes

A = 32
"""Alignment, bytes; sizes below are in units of it."""


def allocator(max_chunk=None):
    return DynAllocator(A, nbytes, max_chunk)


def tensor(units, op="MUL_MAT", src=(), type_=F32, **flags):
    """An f32 tensor of `units` times the alignment."""
    n = units * A // type_.block_bytes
    t = Tensor(op, type_, (n, 1, 1, 1), list(src))
    t.backend = 0
    for name, value in flags.items():
        setattr(t, name, value)
    return t


def view(of):
    t = Tensor("VIEW", of.type, of.ne, [of])
    t.view_src = of
    t.backend = 0
    return t


def total(nodes, leafs=()):
    a = allocator()
    allocate(list(nodes), list(leafs), [a])
    return a.total() // A


class TestFreeBlocks:
    def test_the_first_block_starts_at_0_and_the_next_behind_it(self):
        a = allocator()
        assert [a.alloc(3 * A), a.alloc(2 * A)] == [(0, 0), (0, 3 * A)]
        assert a.total() == 5 * A

    def test_the_smallest_hole_that_is_large_enough_wins(self):
        a = allocator()
        blocks = [a.alloc(n * A) for n in (4, 1, 2, 1, 3, 1)]
        for i, n in ((0, 4), (2, 2), (4, 3)):
            a.free(*blocks[i], n * A)
        assert a.alloc(2 * A) == blocks[2]
        assert a.alloc(3 * A) == blocks[4]

    def test_of_two_equal_holes_the_later_one_wins(self):
        a = allocator()
        blocks = [a.alloc(n * A) for n in (2, 1, 2, 1)]
        a.free(*blocks[0], 2 * A)
        a.free(*blocks[2], 2 * A)
        assert a.alloc(2 * A) == blocks[2]

    def test_the_last_block_is_taken_only_when_no_hole_is_large_enough(self):
        a = allocator()
        blocks = [a.alloc(n * A) for n in (5, 1)]
        a.free(*blocks[0], 5 * A)
        assert a.alloc(A) == blocks[0]
        assert a.alloc(5 * A) == (0, 6 * A)
        assert a.total() == 11 * A

    def test_a_freed_block_merges_with_both_neighbours(self):
        a = allocator()
        blocks = [a.alloc(n * A) for n in (1, 2, 3, 1)]
        a.free(*blocks[0], A)
        a.free(*blocks[2], 3 * A)
        a.free(*blocks[1], 2 * A)
        assert (a.chunks[0].offsets[0], a.chunks[0].sizes[0]) == (0, 6 * A)

    def test_the_high_water_mark_never_falls(self):
        a = allocator()
        a.free(*a.alloc(8 * A), 8 * A)
        a.alloc(A)
        assert a.total() == 8 * A


class TestChunks:
    def test_what_does_not_fit_a_chunk_opens_the_next(self):
        a = allocator(4 * A)
        assert [a.alloc(3 * A), a.alloc(2 * A), a.alloc(A)] == [(0, 0), (1, 0), (0, 3 * A)]
        assert a.total() == 6 * A

    def test_a_tensor_larger_than_a_chunk_gets_one_of_its_size(self):
        a = allocator(4 * A)
        assert a.alloc(9 * A) == (0, 0)
        assert a.alloc(A) == (1, 0)

    def test_a_hole_in_a_later_chunk_wins_over_one_in_an_earlier_chunk(self):
        a = allocator(4 * A)
        blocks = [a.alloc(A) for _ in range(8)]
        for i in (0, 2, 4, 6):
            a.free(*blocks[i], A)
        assert a.alloc(A) == blocks[4]

    def test_the_last_of_16_chunks_has_no_limit(self):
        a = allocator(A)
        places = [a.alloc(A) for _ in range(40)]
        assert len(a.chunks) == MAX_CHUNKS
        assert places[-1] == (MAX_CHUNKS - 1, 24 * A)


class TestLifetimes:
    def test_a_tensor_is_freed_after_its_last_use(self):
        a = tensor(4)
        b = tensor(4, src=[a])
        c = tensor(4, src=[b])
        assert total([a, b, c]) == 8

    def test_an_output_is_never_freed(self):
        a = tensor(4, is_output=True)
        b = tensor(4, src=[a])
        c = tensor(4, src=[b])
        assert total([a, b, c]) == 12

    def test_a_view_keeps_its_root_alive_until_it_is_used(self):
        a = tensor(4)
        v = view(a)
        b = tensor(4)
        c = tensor(4, src=[v, b])
        d = tensor(4, src=[c])
        # were the root free before c, b or c would lie in its place
        assert total([a, v, b, c, d]) == 12

    def test_a_view_that_nobody_uses_keeps_its_root_for_ever(self):
        a = tensor(4)
        used, unused = view(a), view(a)
        b = tensor(4, src=[used])
        c = tensor(4, src=[b])
        d = tensor(4, src=[c])
        assert total([a, used, unused, b, c, d]) == 12

    def test_leaves_come_first_and_allocated_ones_take_nothing(self):
        weight = tensor(100, op="NONE", buft=3)
        leaf = tensor(2, op="NONE", is_input=True)
        a = tensor(1, src=[weight, leaf])
        assert total([a], [leaf]) == 3


class TestInPlace:
    @pytest.mark.parametrize("op", ["ADD", "MUL", "SCALE", "RMS_NORM", "SOFT_MAX", "ROPE", "UNARY"])
    def test_an_operation_that_may_writes_over_a_source_that_dies(self, op):
        a = tensor(4)
        assert total([a, tensor(4, op=op, src=[a])]) == 4

    @pytest.mark.parametrize("op", ["NORM", "GLU", "CONT", "GET_ROWS", "MUL_MAT", "L2_NORM"])
    def test_other_operations_take_a_place_of_their_own(self, op):
        a = tensor(4)
        assert total([a, tensor(4, op=op, src=[a])]) == 8

    def test_not_while_the_source_has_another_use(self):
        a = tensor(4)
        b = tensor(4, op="ADD", src=[a])
        c = tensor(4, op="MUL_MAT", src=[a])
        assert total([a, b, c]) == 12

    def test_not_over_an_output(self):
        a = tensor(4, is_output=True)
        assert total([a, tensor(4, op="ADD", src=[a])]) == 8

    def test_not_over_a_source_of_another_type_or_shape(self):
        a = tensor(4, type_=F16)
        assert total([a, tensor(4, op="ADD", src=[a])]) == 8

    def test_the_second_source_serves_when_the_first_does_not(self):
        weight = tensor(4, op="NONE", buft=3)
        a = tensor(4)
        assert total([a, tensor(4, op="ADD", src=[weight, a])]) == 4


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 20), min_size=1, max_size=30),
    picks=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), min_size=30, max_size=30),
    ops=st.lists(st.sampled_from(["ADD", "MUL_MAT", "CONT"]), min_size=30, max_size=30),
)
def test_the_buffer_holds_what_is_alive_at_once(sizes, picks, ops):
    """The peak of live bytes is a lower bound, the sum of all an upper one."""
    nodes = []
    for i, units in enumerate(sizes):
        src = list({id(nodes[j]): nodes[j] for j in (p % max(i, 1) for p in picks[i]) if i}.values())
        nodes.append(tensor(units, op=ops[i], src=src))
    last_use = {id(s): i for i, n in enumerate(nodes) for s in n.src}
    alive_after = [
        sum(sizes[j] for j in range(i + 1) if last_use.get(id(nodes[j]), j) > i or j == i)
        for i in range(len(nodes))
    ]
    assert max(alive_after) <= total(nodes) <= sum(sizes)
