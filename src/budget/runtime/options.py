"""llama.cpp's memory-changing flags as options of budget: what help says of each; the flag table has the rest."""

from __future__ import annotations

from typing import NamedTuple

from budget.runtime.flags import flags
from budget.runtime.settings import CACHE_TYPES
from budget.runtime.values import SPEC_TYPES

COMMON, SPECULATIVE, SERVER = "common", "speculative", "server"
"""The groups of llama-server's help."""


class SettingsOption(NamedTuple):
    """One option: everything that a command line interface needs to offer it."""

    name: str
    """Key of the flag table, unique; fits a Python identifier."""
    spellings: tuple[str, ...]
    negated: tuple[str, ...]
    """Spellings that turn a switch off; empty where there are none."""
    help: str
    metavar: str | None
    """None for a switch."""
    choices: tuple[str, ...]
    """Every value it takes; empty where values are free."""
    repeatable: bool
    """Given twice, both count."""
    group: str


class _Help(NamedTuple):
    text: str
    metavar: str | None = None
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    group: str = COMMON


_HELP: dict[str, _Help] = {
    "n_ctx": _Help("Total context, tokens; 32k is 32768, 0 is what the model was trained with.", "N"),
    "kv_unified_per_slot": _Help("Context of each slot where -c is left away, tokens.", "N", group=SERVER),
    "n_batch": _Help("Logical batch, tokens (2048).", "N"),
    "n_ubatch": _Help("Physical batch, tokens (512); compute memory grows with it.", "N"),
    "n_parallel": _Help("Slots; left away, llama-server has 4 that share the context.", "N"),
    "kv_unified": _Help("One cache that all slots share, or one for each.", group=SERVER),
    "swa_full": _Help("Sliding-window layers keep the whole context."),
    "ctx_checkpoints": _Help("Context checkpoints of one slot, in RAM (32).", "N"),
    "cache_ram_mib": _Help("Prompt cache in RAM, MiB (8192); 0 is off, -1 has no limit.", "MIB"),
    "flash_attn": _Help("Flash attention (auto).", "MODE", ("auto", "on", "off")),
    "backend_sampling": _Help("Sample on the device."),
    "pooling": _Help(
        "How embeddings are pooled.", "TYPE", ("none", "mean", "cls", "last", "rank"), group=SERVER
    ),
    "offload_kqv": _Help("K/V caches on the devices of their layers, or all in RAM."),
    "repack": _Help("CPU weights may be repacked."),
    "no_host": _Help("No pinned host buffers."),
    "type_k": _Help("Type of the K cache (f16).", "TYPE", CACHE_TYPES),
    "type_v": _Help("Type of the V cache (f16).", "TYPE", CACHE_TYPES),
    "mmproj": _Help("Multimodal projector.", "FILE"),
    "mmproj_url": _Help("Multimodal projector at this address.", "URL"),
    "mmproj_auto": _Help("Load the projector that lies beside a model from Hugging Face."),
    "mmproj_offload": _Help("The projector on a GPU."),
    "mmproj_device": _Help("Device of the projector, or none.", "NAME"),
    "image_max_tokens": _Help("Tokens of the largest image.", "N"),
    "rpc": _Help("RPC servers.", "HOST:PORT,...", repeatable=True),
    "load_mode": _Help(
        "How the file is read (auto).", "MODE", ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
    ),
    "lazy_mode": _Help("Some tensors are read as they are needed (auto).", "MODE", ("auto", "on", "off")),
    "devices": _Help("Devices to use, in order, or none.", "NAME,..."),
    "override_tensor": _Help(
        "Tensors whose name matches go to this buffer type.", "RE=BUFFER,...", repeatable=True
    ),
    "cpu_moe": _Help("All expert weights in RAM."),
    "n_cpu_moe": _Help("Expert weights of the first N layers in RAM.", "N"),
    "n_cpu_ffn": _Help("Dense feed-forward weights of the first N layers in RAM.", "N"),
    "n_gpu_layers": _Help("Layers on GPUs, the output layer counted: a number, auto or all.", "N"),
    "split_mode": _Help("How GPUs share the model (layer).", "MODE", ("none", "layer", "row", "tensor")),
    "tensor_split": _Help("Share of each GPU, such as 3,1.", "N,N,..."),
    "main_gpu": _Help("The GPU of -sm none (0).", "INDEX"),
    "fit": _Help("llama.cpp may shrink what is not set until it fits.", "MODE", ("on", "off")),
    "fit_target_mib": _Help("What --fit leaves free on each device, MiB (1024).", "MIB,..."),
    "fit_ctx": _Help("The least context that --fit may choose, tokens (4096).", "N"),
    "override_kv": _Help("Replace metadata of the model.", "KEY=TYPE:VALUE,...", repeatable=True),
    "op_offload": _Help("Large batches run on the GPU although their weights are in RAM."),
    "lora": _Help("LoRA adapter.", "FILE,...", repeatable=True),
    "lora_scaled": _Help("LoRA adapter and its scale.", "FILE:SCALE,...", repeatable=True),
    "control_vector": _Help("Control vector.", "FILE,...", repeatable=True),
    "control_vector_scaled": _Help("Control vector and its scale.", "FILE:SCALE,...", repeatable=True),
    "embedding": _Help("Embeddings only.", group=SERVER),
    "rerank": _Help("Reranking: embeddings, pooled by rank.", group=SERVER),
    "model_draft_hf": _Help("Draft model from Hugging Face.", "USER/REPO[:QUANT]", group=SPECULATIVE),
    "draft_type_k": _Help("Type of the draft's K cache (f16).", "TYPE", CACHE_TYPES, group=SPECULATIVE),
    "draft_type_v": _Help("Type of the draft's V cache (f16).", "TYPE", CACHE_TYPES, group=SPECULATIVE),
    "draft_override_tensor": _Help(
        "The draft's tensors whose name matches go to this buffer type.",
        "RE=BUFFER,...",
        (),
        True,
        SPECULATIVE,
    ),
    "draft_cpu_moe": _Help("All expert weights of the draft in RAM.", group=SPECULATIVE),
    "draft_n_cpu_moe": _Help("Expert weights of the draft's first N layers in RAM.", "N", group=SPECULATIVE),
    "spec_draft_n_max": _Help("Draft tokens of one step (3).", "N", group=SPECULATIVE),
    "draft_devices": _Help("Devices of the draft, in order, or none.", "NAME,...", group=SPECULATIVE),
    "draft_n_gpu_layers": _Help(
        "Layers of the draft on GPUs: a number, auto or all.", "N", group=SPECULATIVE
    ),
    "model_draft": _Help("Draft model.", "FILE", group=SPECULATIVE),
    "spec_type": _Help("Kinds of speculation.", "TYPE,...", SPEC_TYPES, True, SPECULATIVE),
    "spec_ngram_mod_n_max": _Help("Draft tokens of one ngram-mod step (64).", "N", group=SPECULATIVE),
    "spec_ngram_simple_size_m": _Help("Draft tokens of one ngram-simple step (48).", "N", group=SPECULATIVE),
    "spec_ngram_map_k_size_m": _Help("Draft tokens of one ngram-map-k step (48).", "N", group=SPECULATIVE),
    "spec_ngram_map_k4v_size_m": _Help(
        "Draft tokens of one ngram-map-k4v step (48).", "N", group=SPECULATIVE
    ),
    "spec_default": _Help("Speculation as llama.cpp recommends it.", group=SPECULATIVE),
}
"""By key of the flag table."""
NO_OPTION = frozenset({
    "model", "model_url", "hf_repo", "hf_file", "preset", "removed", "unsupported", "older_mmap", "older_mlock",
    "older_direct_io",
})  # fmt: skip
"""Keys of the flag table that budget's own options do not offer: models, and spellings that are history."""


def _options() -> tuple[SettingsOption, ...]:
    return tuple(
        SettingsOption(flag.setting, flag.spellings, flag.negated, *_HELP[flag.setting])
        for flag in flags()
        if flag.setting is not None and flag.setting not in NO_OPTION
    )


SETTINGS_OPTIONS = _options()
"""Every memory-changing flag as an option, in llama.cpp's order."""


def arguments(option: SettingsOption, value: object) -> list[str]:
    """The option's value as llama.cpp flags for `parse_settings`: a bool, a text, texts, or None for none."""
    if value is None or value == []:
        return []
    if option.metavar is None:
        spellings = option.spellings if value else option.negated
        return [spellings[0]] if spellings else []
    texts = value if isinstance(value, list | tuple) else [value]
    return [word for text in texts for word in (option.spellings[0], str(text))]
