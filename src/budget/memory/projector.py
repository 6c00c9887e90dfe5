"""Multimodal projectors (`--mmproj`): an encoder with weights and graphs of its own, on one device or on the host.

llama.cpp reserves its compute buffer with a small image and lets it grow with larger ones, so both are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import Literal

from budget.errors import BadModelError, MachineError
from budget.gguf.header import Header, TensorInfo
from budget.machine.device import Device, Machine
from budget.memory import buffer_types
from budget.memory.extra import Extra
from budget.memory.layout import HOST
from budget.memory.overhead import blas_workspace_bytes
from budget.memory.placement import BufferType
from budget.runtime.settings import Settings, mmproj_placement
from budget.units import MiB, round_up

Modality = Literal["vision", "audio", "gen.audio"]

_WEIGHTS_SOURCE = "clip.cpp, load_tensors: every tensor of the modality, in the backend's own buffer type"
_COMPUTE_SOURCE = "clip.cpp, build_vit: the largest phase of one block, for the largest image"
_NO_ROTATION = frozenset({"gemma3", "idefics3", "lfm2", "phi4", "mlp", "internvl", "gemma3nv", "janus_pro"})
"""Encoders with learned positions only; the others rotate Q and K."""
_WINDOW_KEYS = ("n_wa_pattern", "wa_layer_indexes", "wa_pattern_mode")
"""Keys of encoders that mask a window (clip-impl.h)."""
_AUDIO_POSITIONS = 1500
"""Positions of 30 seconds of sound after the convolutions (`warmup_audio_size` of 3000 frames, stride 2)."""
_AUDIO_FRAMES = 3000
"""clip-model.h, `warmup_audio_size`."""


@dataclass(frozen=True, slots=True)
class ImageRule:
    """How many tokens an image may have: of a warm-up, at most, and patches merged per side."""

    merge: int = 1
    """Patches per side that become one token (`n_merge`), where the header does not say."""
    warmup_tokens: int | None = None
    """Tokens of the image that the buffer is reserved with; None takes `clip.vision.image_size`."""
    max_tokens: int | None = None
    """Most tokens of an image; None where the header says (`image_max_pixels`) or images are tiles of one size."""


_RULES = {
    "phi4": ImageRule(1, 16 * 16),
    "pixtral": ImageRule(1, 256, 1024),
    "lightonocr": ImageRule(1, 256),
    "dots_ocr": ImageRule(1, 46 * 46),
    "dots3note_v": ImageRule(1, 46 * 46),
    "kimivl": ImageRule(1, 256, 1024),
    "kimik25": ImageRule(1, 4096, 4096),
    "deepseek4v": ImageRule(1, 256, 384),
    "lfm2": ImageRule(1, 256, 256),
    "gemma3": ImageRule(4),
    "gemma4v": ImageRule(3, 256, 1120),
    "gemma4uv": ImageRule(3, 256, 1120),
    "qwen2vl_merger": ImageRule(2, 46 * 46, 4096),
    "qwen2.5vl_merger": ImageRule(2, 46 * 46, 4096),
    "qwen2.5o": ImageRule(2, 46 * 46, 4096),
    "qwen3vl_merger": ImageRule(2, 46 * 46, 4096),
    "ling3vl": ImageRule(2, 46 * 46, 4096),
    "minimax_m3": ImageRule(2, 16 * 16, 576),
    "muse-glimmer": ImageRule(2, 32 * 32, 4096),
    "mimovl": ImageRule(2, 46 * 46),
    "step3vl": ImageRule(4),
    "youtuvl": ImageRule(2, 16 * 16, 62500),
    "glm4v": ImageRule(2, 46 * 46, 4096),
    "glm5v": ImageRule(2, 46 * 46),
    "paddleocr": ImageRule(2, 28 * 28),
    "hunyuanvl": ImageRule(2, 32 * 32, 16384),
    "exaone4_5": ImageRule(2, 46 * 46),
    "minicpmv4_6": ImageRule(4),
}
"""By projector type; others see tiles of `image_size` (clip.cpp, `load_hparams`)."""


def projector(header: Header, settings: Settings, machine: Machine, path: str) -> tuple[Extra, ...]:
    """Weights and compute of every modality in the file, on the device that llama.cpp chooses.

    Raises:
        BadModelError: not a projector.
        MachineError: `--mmproj-device` names a device that does not exist.

    Source: tools/mtmd/clip.cpp, `clip_init`, `load_tensors`, `warmup`.
    """
    found = modalities(header)
    if not found:
        raise BadModelError(
            f"{path}: not a multimodal projector", hint="pass the file whose name begins with mmproj"
        )
    home = buffer_type(settings, machine)
    device = home.name if home.device is not None else HOST
    result = []
    for modality in found:
        weights = sum(buffer_types.padded_bytes(home, t.type, t.ne) for t in tensors_of(header, modality))
        result.append(
            Extra(
                part="projector",
                kind="weights",
                device=device,
                buffer=home.name,
                size_bytes=weights,
                basis="formula",
                source=_WEIGHTS_SOURCE,
            )
        )
        if modality == "gen.audio":
            continue  # its graphs are reserved only when it speaks
        at_load, largest = compute_bytes(header, modality, settings)
        result.append(
            Extra(
                part="projector",
                kind="compute",
                device=device,
                buffer=home.name,
                size_bytes=largest,
                at_load_bytes=at_load,
                basis="estimate",
                source=_COMPUTE_SOURCE,
            )
        )
    if home.device is not None:
        scratch = blas_workspace_bytes(machine.devices[home.device])
        if scratch:
            result.append(
                Extra(
                    part="projector",
                    kind="overhead",
                    device=device,
                    buffer=home.name,
                    size_bytes=scratch,
                    basis="estimate",
                    source="ggml-cuda: the workspace of a cuBLAS handle of its own, for float weights",
                )
            )
    return tuple(result)


def buffer_type(settings: Settings, machine: Machine) -> BufferType:
    """Where a projector lies: `--mmproj-device`, else the first of `--device`, a GPU, an integrated one, the host.

    Source: clip.cpp, `clip_ctx`; arg.cpp for `--device`.
    """
    offload, name = mmproj_placement(settings)
    if not offload:
        return buffer_types.CPU
    device: Device | None = None
    if name is not None:
        named = [d for d in machine.devices if d.name.lower() == name.lower()]
        if not named:
            there = ", ".join(d.name for d in machine.devices) or "none"
            raise MachineError(f"--mmproj-device {name}: no such device", hint=f"devices here: {there}")
        device = named[0]
    for kind in ("gpu", "igpu"):
        device = device or next((d for d in machine.devices if d.kind == kind), None)
    return (
        buffer_types.CPU
        if device is None
        else buffer_types.device_buffer_type(device, machine.devices.index(device))
    )


def modalities(header: Header) -> tuple[Modality, ...]:
    """Encoders in the file that llama.cpp makes a context for; sound of Gemma 3n is not."""

    def has(key: str) -> bool:
        value = header.metadata.get(f"clip.has_{key}_encoder")
        return value is not None and value.value is True

    result: list[Modality] = ["vision"] if has("vision") else []
    if has("audio") and not (result and _type(header, "vision") == "gemma3nv"):
        result.append("audio")
    if has("gen_audio"):
        result.append("gen.audio")
    return tuple(result)


def tensors_of(header: Header, modality: Modality) -> tuple[TensorInfo, ...]:
    """The tensors of one encoder and its projection, by name: `v. mm.`, `a. mm.a.`, `a.gen.`."""
    several = len(modalities(header)) > 1

    def belongs(name: str) -> Modality:
        if name.startswith(("a.gen.", "mm.a.gen.")):
            return "gen.audio"
        if name.startswith(("a.", "mm.a.")):
            return "audio"
        return "vision" if several or modality == "vision" else modality

    return tuple(t for t in header.tensors if belongs(t.name) == modality)


def compute_bytes(header: Header, modality: Modality, settings: Settings) -> tuple[int, int]:
    """Compute buffer at load, and for the largest input, bytes: estimates of the encoder's largest phase."""
    if modality != "vision":
        size = encoder_bytes(header, modality, _AUDIO_POSITIONS, 4 * _AUDIO_FRAMES * 128, settings)
        return size, size
    warmup, largest = image_patches(header, settings)
    patch = _number(header, "vision.patch_size") or 14
    at_load, full = (
        encoder_bytes(header, modality, patches, 4 * 3 * patches * patch * patch, settings)
        for patches in (warmup, max(warmup, largest))
    )
    return at_load, full


def image_patches(header: Header, settings: Settings) -> tuple[int, int]:
    """Patches of the warm-up image and of the largest one.

    Source: clip.cpp, `load_hparams`; clip-model.h, `set_limit_image_tokens`, `set_warmup_n_tokens`.
    """
    rule = _RULES.get(_type(header, "vision"), ImageRule())
    merge = (
        _number(header, "vision.projector.scale_factor")
        or _number(header, "vision.spatial_merge_size")
        or rule.merge
    )
    patch = _number(header, "vision.patch_size") or 14
    square = (_number(header, "vision.image_size") // patch) ** 2
    edge = _number(header, "vision.preproc_image_size")
    warmup = square
    if rule.warmup_tokens is not None:
        warmup = (isqrt(rule.warmup_tokens) * merge) ** 2
    max_pixels = _number(header, "vision.image_max_pixels")
    tokens = settings.image_max_tokens
    if rule.max_tokens is not None:
        largest = (tokens or rule.max_tokens) * merge * merge
        if _type(header, "vision") == "lfm2":
            warmup = largest
    elif max_pixels:
        largest = max_pixels // (patch * patch)
    elif rule.warmup_tokens is not None and edge:
        largest = (edge // patch) ** 2
    else:
        largest = square
    return warmup, largest


def encoder_bytes(
    header: Header, modality: Modality, positions: int, input_bytes: int, settings: Settings
) -> int:
    """The largest phase of an encoder over `positions` patches, bytes, rounded up to a MiB.

    The start holds the input, and the first rows four times while they are put in order, beside the window's mask;
    attention the residual, Q, K, V and the result in f32 and K and V again in f16 (flash attention), or every score
    without it, and Q and K once more where they are rotated; the feed-forward part three rows and its inner ones.

    Args:
        input_bytes: the image or the spectrum, f32.
    """
    e = _number(header, f"{modality}.embedding_length")
    f = _number(header, f"{modality}.feed_forward_length")
    heads = _number(header, f"{modality}.attention.head_count")
    gated = any(".ffn_gate." in t.name for t in tensors_of(header, modality))
    row = 4 * positions * e
    rotated = 2 * row + input_bytes if _type(header, modality) not in _NO_ROTATION else 0
    flash = settings.flash_attn != "off"
    attention = 6 * row + rotated + (0 if flash else 4 * positions * positions * heads)
    feed_forward = 3 * row + 4 * positions * f * (2 if gated else 1)
    square = positions * positions if any(f"clip.vision.{k}" in header.metadata for k in _WINDOW_KEYS) else 0
    # the mask is made in f32 and kept in f16 for flash attention
    start = input_bytes + 4 * row + (6 if flash else 4) * square
    return round_up(max(start, max(attention, feed_forward) + (2 if flash else 4) * square), MiB)


def _type(header: Header, modality: Modality) -> str:
    for key in (f"clip.{modality}.projector_type", "clip.projector_type"):
        value = header.metadata.get(key)
        if value is not None and isinstance(value.value, str):
            return value.value
    return ""


def _number(header: Header, key: str) -> int:
    value = header.metadata.get(f"clip.{key}")
    return int(value.value) if value is not None and isinstance(value.value, int | float) else 0
