"""Weights and caches against what llama.cpp allocated, buffer by buffer."""

from __future__ import annotations

import pytest

import truth
from budget.memory import buffer_types
from budget.memory.kv_cache import cache_tensors
from budget.memory.layout import REALLY_ALLOCATED
from budget.memory.place import place
from budget.memory.placement import cache_buffer_type
from budget.memory.recurrent import state_tensors
from budget.memory.split_tensor import slices
from budget.memory.weights import weight_bytes
from budget.runtime.settings import resolve

MOVED = {
    ("real/command-r-35b", "gpu2_half"),
    ("real/deepseek-r1-671b", "gpu2_half"),
    ("real/deepseek-r1-671b", "gpu2_ncmoe"),
    ("real/gpt-oss-20b", "gpu2_half"),
    ("real/granite-4.0-h-small", "gpu2_half"),
    ("real/llama-2-7b-q4_0", "gpu2_half"),
    ("real/llama-3.1-8b-f16", "gpu2_half"),
    ("real/llama-3.1-8b-q8", "gpu2_half"),
    ("real/llama-3.2-1b", "gpu2_half"),
    ("real/mamba2-codestral-7b", "gpu2_half"),
    ("real/phi-3-mini", "gpu2_half"),
    ("real/qwen3-32b", "gpu2_half"),
    ("real/qwen3-8b", "gpu2_half"),
    ("toy/nemotron_h-dense", "gpu2"),
}
"""Rows whose middle layer falls on the other of two virtual devices of one card: it sits exactly at half of the
split, the two free sizes differ by less than 0.1 %, and free memory moved between the row's reading of it and the
load's. The same rows with their layers moved by one are checked in `test_the_rows_that_moved_differ_by_one_layer`."""

ROWS = truth.rows()


def measured(row):
    return {
        name: (b["model"], b["context"]) for name, b in row["buffers"].items() if b["model"] or b["context"]
    }


def resolved(row):
    return resolve(truth.settings(row), truth.model(row["model"]))


def planned(row, machine=None):
    model, settings = truth.model(row["model"]), truth.settings(row)
    params = resolved(row)
    placement = place(model, settings, machine or truth.machine(row))
    sums = {name: [size, 0] for (name, _), size in weight_bytes(model, placement).items()}
    states = [0] * len(placement.meta_devices)
    for tensor in (*cache_tensors(model, params), *state_tensors(model, params)):
        buffer_type = cache_buffer_type(placement, params, tensor.layer)
        if states and buffer_type.device is not None and tensor.cache in REALLY_ALLOCATED:
            for i, ne in enumerate(slices(model, tensor.name, tensor.type, tensor.ne, len(states), ())):
                states[i] += buffer_types.padded_bytes(buffer_types.CPU, tensor.type, ne)
            continue
        size = buffer_types.padded_bytes(buffer_type, tensor.type, tensor.ne)
        sums.setdefault(buffer_type.name, [0, 0])[1] += size
    if any(states):
        sums["Meta()"][1] += max(states)
    return {name: tuple(sizes) for name, sizes in sums.items() if any(sizes)}


@pytest.mark.parametrize("name", sorted({row["model"] for row in ROWS}))
def test_weights_and_caches_equal_what_llama_cpp_allocated(name):
    for row in ROWS:
        if row["model"] == name and (name, row["tag"]) not in MOVED:
            assert planned(row) == measured(row), (row["tag"], row["machine"], row["args"])


@pytest.mark.parametrize("name", sorted({row["model"] for row in ROWS}))
def test_the_context_is_resolved_as_llama_cpp_does(name):
    for row in ROWS:
        if row["model"] == name:
            params = resolved(row)
            got = (params.n_ctx, params.n_ctx_seq, params.n_seq_max, params.n_batch, params.n_ubatch)
            assert got == tuple(row[k] for k in ("n_ctx", "n_ctx_seq", "n_seq_max", "n_batch", "n_ubatch")), (
                row["tag"]
            )


@pytest.mark.parametrize(("name", "tag"), sorted(MOVED))
def test_the_rows_that_moved_differ_by_one_layer(name, tag):
    """With one device's free memory nudged by a page, one way or the other, the row is met exactly."""
    row = next(r for r in ROWS if (r["model"], r["tag"]) == (name, tag))
    nudged = []
    for first, second in ((0, 1 << 20), (1 << 20, 0)):
        free = [
            {**d, "free": row["devices"][0]["free"] + extra}
            for d, extra in zip(row["devices"], (first, second), strict=True)
        ]
        nudged.append(planned(row, truth.machine({**row, "devices": free})))
    assert measured(row) in nudged
