"""LoRA adapters and control vectors, placed as llama-adapter.cpp does."""

from __future__ import annotations

from typing import Any

import pytest
from tests import truth
from tests.memory.companions import adapter, gpus, header

from budget.errors import BadModelError
from budget.memory.adapters import control_vector, lora
from budget.memory.place import place
from budget.runtime.settings import Settings

MODEL = truth.model("real/llama-3.1-8b")
Q = ("blk.{}.attn_q.weight", 4096, 4096, 16)
"""A and B of rank 16 in f16: 2 x 16 x (4096 + 4096) = 262,144 bytes."""


def placed(*layers: int, **settings: Any) -> dict[str, int]:
    """Bytes per buffer of an adapter on the query matrices of `layers`."""
    placement = place(MODEL, Settings(**settings), gpus("CUDA0"))
    pairs = [(Q[0].format(il), *Q[1:]) for il in layers]
    return {e.buffer: e.size_bytes for e in lora(MODEL, placement, adapter(*pairs), "a.gguf")}


@pytest.mark.parametrize(
    ("layers", "settings", "expected"),
    [
        pytest.param((0, 31), {}, {"CUDA0": 2 * 262_144}, id="with its weights on the device"),
        pytest.param(
            (0, 31),
            {"n_gpu_layers": 16, "load_mode": "none"},
            {"CUDA_Host": 262_144, "CUDA0": 262_144},
            id="pinned host weights",
        ),
        pytest.param(
            (0,), {"n_gpu_layers": 0, "load_mode": "mmap"}, {"CPU_Mapped": 262_144}, id="mapped weights"
        ),
        pytest.param(
            (0,),
            {"devices": (), "load_mode": "none"},
            {"CPU": 262_144},
            id="repacked weights: the adapter stays in plain memory",
        ),
    ],
)
def test_an_adapter_lies_in_the_buffer_type_of_its_weight(
    layers: tuple[int, ...], settings: dict[str, Any], expected: dict[str, int]
) -> None:
    assert placed(*layers, **settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # 31 rows of 4096 f32: nothing for the first layer
        pytest.param({}, {"CUDA0": 31 * 16_384}, id="all layers offloaded"),
        # -ngl 17 offloads layers 16 to 31 and the output
        pytest.param({"n_gpu_layers": 17}, {"CUDA_Host": 15 * 16_384, "CUDA0": 16 * 16_384}, id="half"),
        pytest.param(
            {"n_gpu_layers": 17, "no_host": True},
            {"CPU": 15 * 16_384, "CUDA0": 16 * 16_384},
            id="no pinned host",
        ),
        pytest.param({"devices": ()}, {"CPU": 31 * 16_384}, id="no device"),
    ],
)
def test_a_control_vector_has_a_row_per_layer_but_the_first(
    settings: dict[str, Any], expected: dict[str, int]
) -> None:
    asked = Settings(**settings)
    found = control_vector(MODEL, asked, place(MODEL, asked, gpus("CUDA0")))
    assert {e.buffer: e.size_bytes for e in found} == expected


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(adapter(("blk.40.attn_q.weight", 4096, 4096, 8)), "does not have", id="no such weight"),
        pytest.param(adapter(("blk.0.attn_q.weight", 5120, 4096, 8)), "another shape", id="other width"),
        pytest.param(adapter(architecture="qwen3"), "an adapter for qwen3", id="other architecture"),
        pytest.param(
            header({"general.architecture": ["str", "llama"]}, []), "not a LoRA adapter", id="a model"
        ),
        pytest.param(
            header(
                {
                    "general.architecture": ["str", "llama"],
                    "general.type": ["str", "adapter"],
                    "adapter.type": ["str", "lora"],
                },
                [["blk.0.attn_q.weight.lora_a", [4096, 8], "F16"]],
            ),
            "half of the pair",
            id="half a pair",
        ),
    ],
)
def test_an_adapter_that_llama_cpp_refuses_is_an_error_that_names_it(bad: Any, message: str) -> None:
    with pytest.raises(BadModelError, match=message) as error:
        lora(MODEL, place(MODEL, Settings(), gpus("CUDA0")), bad, "a.gguf")
    assert "a.gguf" in error.value.message
