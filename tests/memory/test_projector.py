"""Multimodal projectors: sizes and devices as tools/mtmd/clip.cpp has them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.memory.companions import gpus, header

from budget.errors import BadModelError, MachineError
from budget.gguf.header import Header
from budget.memory.projector import image_patches, modalities, projector
from budget.runtime.settings import Settings
from budget.units import MiB


def vision(kind: str = "gemma3", *, audio: bool = False, **metadata: Any) -> Header:
    """An encoder of width 1152 (feed-forward 4304, 16 heads) for images of 896 x 896 in patches of 14."""
    numbers = {
        "embedding_length": 1152, "feed_forward_length": 4304, "attention.head_count": 16, "image_size": 896,
        "patch_size": 14,
    } | metadata  # fmt: skip
    facts: dict[str, Any] = {f"clip.vision.{k}": ["u32", v] for k, v in numbers.items()}
    facts |= {"clip.has_vision_encoder": ["bool", True], "clip.projector_type": ["str", kind]}
    tensors = [["v.patch_embd.weight", [14, 14, 3, 1152], "F16"], ["v.blk.0.ln1.weight", [1152], "F32"],
               ["mm.input_projection.weight", [2560, 1152], "F16"]]  # fmt: skip
    if audio:
        facts["clip.has_audio_encoder"] = ["bool", True]
        sound = {"embedding_length": 512, "feed_forward_length": 2048, "attention.head_count": 8}
        facts |= {f"clip.audio.{k}": ["u32", v] for k, v in sound.items()}
        tensors += [["a.blk.0.ln1.weight", [512], "F32"], ["mm.a.fc.weight", [512, 2560], "F16"]]
    return header(facts, tensors)


WEIGHTS = 14 * 14 * 3 * 1152 * 2 + 1152 * 4 + 2560 * 1152 * 2


def sizes(head: Header, *names: str, **settings: Any) -> list[tuple[str, str, int]]:
    machine = gpus(*names)
    found = projector(head, Settings(**settings), machine, "mmproj.gguf")
    return [(e.kind, e.buffer, e.size_bytes) for e in found if e.kind != "overhead"]


def test_the_encoder_and_its_compute_lie_on_the_first_gpu() -> None:
    # 64 x 64 patches; the feed-forward phase is largest: 4 bytes x 4096 x (3 x 1152 + 4304) = 122 MiB.
    # llama.cpp reserves 127,139,840 bytes for this shape
    assert sizes(vision(), "CUDA0", "CUDA1") == [
        ("weights", "CUDA0", WEIGHTS),
        ("compute", "CUDA0", 122 * MiB),
    ]


@pytest.mark.parametrize(
    ("settings", "home"),
    [
        pytest.param({"mmproj_offload": False}, "CPU", id="--no-mmproj-offload"),
        pytest.param({"mmproj_device": "CUDA1"}, "CUDA1", id="--mmproj-device"),
        pytest.param({"devices": ("CUDA1", "CUDA0")}, "CUDA1", id="--device"),
        pytest.param({"devices": ()}, "CPU", id="--device none"),
        pytest.param({"devices": ("CUDA1",), "mmproj_device": "CUDA0"}, "CUDA0", id="--mmproj-device first"),
    ],
)
def test_the_device_is_the_one_llama_cpp_chooses(settings: dict[str, Any], home: str) -> None:
    assert {buffer for _, buffer, _ in sizes(vision(), "CUDA0", "CUDA1", **settings)} == {home}


def test_without_a_gpu_the_encoder_lies_on_the_host() -> None:
    assert {buffer for _, buffer, _ in sizes(vision())} == {"CPU"}


def test_without_flash_attention_every_score_is_kept() -> None:
    # 4 bytes x 4096 x (6 x 1152) + 4 bytes x 4096 x 4096 x 16 heads = 108 + 1024 MiB
    assert sizes(vision(), "CUDA0", flash_attn="off")[1] == ("compute", "CUDA0", 1132 * MiB)


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        pytest.param("gemma3", {}, (64 * 64, 64 * 64), id="tiles of one size"),
        # 46 x 46 tokens of 2 x 2 patches at load; up to 4096 tokens
        pytest.param("qwen2.5vl_merger", {}, (92 * 92, 4096 * 4), id="grows from 46 x 46 tokens"),
        pytest.param(
            "qwen2.5vl_merger", {"image_max_tokens": 9000}, (92 * 92, 36_000), id="--image-max-tokens"
        ),
        pytest.param("pixtral", {}, (16 * 16, 1024), id="one patch a token"),
    ],
)
def test_an_image_may_be_larger_than_the_one_the_buffer_is_reserved_with(
    kind: str, settings: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert image_patches(vision(kind), Settings(**settings)) == expected


def test_the_largest_image_counts_and_the_reserved_one_is_told() -> None:
    compute = projector(vision("qwen2.5vl_merger"), Settings(), gpus("CUDA0"), "m.gguf")[1]
    assert compute.at_load_bytes is not None
    assert compute.size_bytes > compute.at_load_bytes


def test_sound_is_an_encoder_of_its_own() -> None:
    found = sizes(vision(audio=True), "CUDA0")
    assert [(k, s) for k, _, s in found if k == "weights"] == [
        ("weights", WEIGHTS), ("weights", 512 * 4 + 512 * 2560 * 2)
    ]  # fmt: skip


def test_the_sound_of_gemma_3n_is_not_loaded() -> None:
    assert modalities(vision("gemma3nv", audio=True)) == ("vision",)


def test_a_file_without_an_encoder_is_refused() -> None:
    with pytest.raises(BadModelError, match="not a multimodal projector"):
        projector(header({"general.architecture": ["str", "llama"]}, []), Settings(), gpus("CUDA0"), "m.gguf")


def test_a_projector_device_that_is_not_there_is_named() -> None:
    with pytest.raises(MachineError, match="CUDA7"):
        projector(vision(), Settings(mmproj_device="CUDA7"), gpus("CUDA0"), "m.gguf")
