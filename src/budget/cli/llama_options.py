"""llama.cpp's memory-changing flags as Typer options; their values go back through the one parser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import typer

Parameter = tuple[str, Any, Any]


class _Option(NamedTuple):
    name: str
    spellings: tuple[str, ...]
    help: str
    metavar: str | None = None
    """None for a switch."""
    negated: tuple[str, ...] = ()
    repeat: bool = False


_OPTIONS = (
    _Option("ctx_size", ("-c", "--ctx-size"), "Total context, tokens (32k is 32768); 0 takes the trained one.", "N"),
    _Option("batch_size", ("-b", "--batch-size"), "Logical batch, tokens (2048).", "N"),
    _Option("ubatch_size", ("-ub", "--ubatch-size"), "Physical batch, tokens (512).", "N"),
    _Option("parallel", ("-np", "--parallel"), "Slots; left away, llama-server takes 4 that share the context.", "N"),
    _Option("kv_unified", ("-kvu", "--kv-unified"), "One cache for all slots.", None, ("-no-kvu", "--no-kv-unified")),
    _Option("kv_unified_per_slot", ("--kv-unified-per-slot",), "Context of each slot of a unified cache.", "N"),
    _Option("n_gpu_layers", ("-ngl", "--gpu-layers", "--n-gpu-layers"), "Layers on GPUs: a number, auto or all.", "N"),
    _Option("split_mode", ("-sm", "--split-mode"), "none, layer, row or tensor.", "MODE"),
    _Option("tensor_split", ("-ts", "--tensor-split"), "Share of each GPU, such as 3,1.", "N,N"),
    _Option("main_gpu", ("-mg", "--main-gpu"), "The GPU of -sm none.", "N"),
    _Option("device", ("-dev", "--device"), "Devices to use, in order, or none.", "NAME,NAME"),
    _Option("flash_attn", ("-fa", "--flash-attn"), "on, off or auto.", "MODE"),
    _Option("cache_type_k", ("-ctk", "--cache-type-k"), "Type of the K cache: f16, q8_0, q4_0, ...", "TYPE"),
    _Option("cache_type_v", ("-ctv", "--cache-type-v"), "Type of the V cache.", "TYPE"),
    _Option("kv_offload", ("-kvo", "--kv-offload"), "K/V on the GPUs.", None, ("-nkvo", "--no-kv-offload")),
    _Option("swa_full", ("--swa-full",), "Sliding-window layers keep the full context."),
    _Option("override_tensor", ("-ot", "--override-tensor"), "Tensors that match go to this buffer type.", "RE=BUFFER",
            repeat=True),
    _Option("cpu_moe", ("-cmoe", "--cpu-moe"), "All expert weights on the host."),
    _Option("n_cpu_moe", ("-ncmoe", "--n-cpu-moe"), "Expert weights of the first N layers on the host.", "N"),
    _Option("n_cpu_ffn", ("-ncffn", "--n-cpu-ffn"), "Dense FFN weights of the first N layers on the host.", "N"),
    _Option("repack", ("--repack",), "CPU weights may be repacked.", None, ("-nr", "--no-repack")),
    _Option("no_host", ("--no-host",), "No pinned host buffers."),
    _Option("op_offload", ("--op-offload",), "Large batches of host weights run on the GPU.", None,
            ("--no-op-offload",)),
    _Option("load_mode", ("-lm", "--load-mode"), "auto, none, mmap, mlock, mmap+mlock or dio.", "MODE"),
    _Option("lazy_mode", ("-lzm", "--lazy-mode"), "Tensors read from the file as needed: auto, on or off.", "MODE"),
    _Option("embedding", ("--embedding", "--embeddings"), "Embedding mode."),
    _Option("rerank", ("--rerank", "--reranking"), "Reranking mode."),
    _Option("pooling", ("--pooling",), "none, mean, cls, last or rank.", "TYPE"),
    _Option("mmproj", ("-mm", "--mmproj"), "Multimodal projector file.", "FILE"),
    _Option("mmproj_offload", ("--mmproj-offload",), "The projector on the GPU.", None, ("--no-mmproj-offload",)),
    _Option("mmproj_device", ("-mmdev", "--mmproj-device"), "Device of the projector, or none.", "NAME"),
    _Option("image_max_tokens", ("--image-max-tokens",), "Tokens of the largest image.", "N"),
    _Option("lora", ("--lora",), "Adapter file.", "FILE", repeat=True),
    _Option("lora_scaled", ("--lora-scaled",), "Adapter file with its scale.", "FILE:SCALE", repeat=True),
    _Option("control_vector", ("--control-vector",), "Control vector file.", "FILE", repeat=True),
    _Option("model_draft", ("-md", "--model-draft", "--spec-draft-model"), "Draft model file.", "FILE"),
    _Option("draft_ngl", ("-ngld", "--gpu-layers-draft", "--spec-draft-ngl"), "Layers of the draft on GPUs.", "N"),
    _Option("draft_device", ("-devd", "--device-draft", "--spec-draft-device"), "Devices of the draft.", "NAME,NAME"),
    _Option("draft_type_k", ("-ctkd", "--cache-type-k-draft", "--spec-draft-type-k"), "K cache of the draft.", "TYPE"),
    _Option("draft_type_v", ("-ctvd", "--cache-type-v-draft", "--spec-draft-type-v"), "V cache of the draft.", "TYPE"),
    _Option("spec_type", ("--spec-type",), "Speculation: draft-simple, draft-mtp, draft-eagle3, ...", "TYPE,TYPE"),
    _Option("spec_draft_n_max", ("--spec-draft-n-max",), "Draft tokens of one step (3).", "N"),
    _Option("cache_ram", ("-cram", "--cache-ram"), "Prompt cache in RAM, MiB (8192); 0 is off.", "N"),
    _Option("ctx_checkpoints", ("-ctxcp", "--ctx-checkpoints"), "Context checkpoints of a slot (32).", "N"),
    _Option("rpc", ("--rpc",), "RPC servers.", "HOST:PORT,..."),
    _Option("override_kv", ("--override-kv",), "Replace metadata of the model.", "KEY=TYPE:VALUE", repeat=True),
)  # fmt: skip


def spellings() -> frozenset[str]:
    """Every spelling that is an option of budget."""
    return frozenset(s for option in _OPTIONS for s in (*option.spellings, *option.negated))


def parameters() -> list[tuple[Parameter, Callable[[Any], list[str]]]]:
    """Options and, for each, how its value becomes llama.cpp arguments again."""
    return [(_parameter(option), _to_arguments(option)) for option in _OPTIONS]


def _parameter(option: _Option) -> Parameter:
    name = f"llama_{option.name}"
    if option.metavar is None:
        n = max(len(option.spellings), len(option.negated)) if option.negated else 0
        # Typer pairs spellings with negations one by one: the shorter list repeats its last
        decl = tuple(
            f"{option.spellings[min(i, len(option.spellings) - 1)]}/{option.negated[min(i, len(option.negated) - 1)]}"
            for i in range(n)
        )
        decl = decl or option.spellings
        return name, bool, typer.Option(None, *decl, help=option.help, show_default=False)
    kind = list[str] if option.repeat else str
    return name, kind, typer.Option(
        None, *option.spellings, metavar=option.metavar, help=option.help, show_default=False
    )  # fmt: skip


def _to_arguments(option: _Option) -> Callable[[Any], list[str]]:
    def convert(value: Any) -> list[str]:
        if value is None:
            return []
        if option.metavar is None:
            return [option.spellings[0]] if value else [option.negated[0]] if option.negated else []
        values = value if option.repeat else [value]
        return [argument for v in values for argument in (option.spellings[0], v)]

    return convert
