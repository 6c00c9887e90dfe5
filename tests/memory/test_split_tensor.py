"""Slices of `-sm tensor`, worked out by hand."""

from __future__ import annotations

import pytest

import truth
from budget.errors import UsageError
from budget.gguf.types import BY_NAME
from budget.machine.device import Device, Host, Machine
from budget.memory.layout import lay_out
from budget.memory.split_tensor import slices
from budget.runtime.settings import Settings

DSV4 = truth.model("toy/deepseek4-moe")
"""8 heads of 64 in 8 groups, an output rank of 32 for each group, width 512."""


@pytest.mark.parametrize(
    ("name", "ne", "axis", "widths"),
    [
        # 8 groups on 3 devices: 8 // 3 = 2, 16 // 3 = 5, 8
        pytest.param("attn_sinks.weight", (8,), 0, [2, 3, 3], id="a-sink-a-head"),
        pytest.param("attn_q_b.weight", (64, 512), 1, [128, 192, 192], id="queries-in-whole-groups"),
        pytest.param("attn_output_a.weight", (64, 32, 8), 2, [2, 3, 3], id="a-matrix-a-group"),
        pytest.param("attn_output_b.weight", (256, 512), 0, [64, 96, 96], id="ranks-of-whole-groups"),
    ],
)
def test_deepseek4_cuts_between_groups_of_heads(name, ne, axis, widths):
    """Source: llama-model.cpp, `llama_meta_device_get_split_state`, `get_split_granularity` for DeepSeek-V4."""
    found = slices(DSV4, f"blk.0.{name}", BY_NAME["f32"], ne, 3, ())
    assert [shape[axis] for shape in found] == widths
    rest = [shape[:axis] + shape[axis + 1 :] for shape in found]
    whole = (*ne, *(1,) * (4 - len(ne)))
    assert rest == [whole[:axis] + whole[axis + 1 :]] * 3


def test_a_cut_inside_a_block_is_refused_since_llama_cpp_aborts():
    """Source: the same function: `GGML_ASSERT(hparams.dsv4_o_lora_rank % blck_size == 0)`."""
    spec = truth.specs()["toy/deepseek4-moe"]
    tensors = [[n, d, "Q6_K" if "attn_output_b" in n else t] for n, d, t in spec["tensors"]]
    from budget.model.read import read_model

    model = read_model(truth.header({**spec, "tensors": tensors}))
    host = Host(ram_total_bytes=1 << 40, ram_available_bytes=1 << 40)
    devices = tuple(
        Device(name=f"CUDA{i}", compute_capability="9.0", total_bytes=1 << 36, free_bytes=1 << 36)
        for i in range(2)
    )
    with pytest.raises(UsageError, match="attn_output_b"):
        lay_out(model, Settings(n_ctx=512, split_mode="tensor"), Machine(host=host, devices=devices))
