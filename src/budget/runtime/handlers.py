"""What each memory-changing flag does to the settings, by the key of the flag table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from budget.errors import UsageError
from budget.model.limits import LLAMA_MAX_LAYERS
from budget.runtime import values
from budget.runtime.settings import CACHE_TYPES, FIT_CTX_FULL, N_GPU_LAYERS_ALL, N_GPU_LAYERS_AUTO

EXPERTS_REGEX = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""What `-cmoe` moves to the host (common.h, LLM_FFN_EXPS_REGEX)."""
DENSE_REGEX = r"\.ffn_(up|down|gate)\."
"""What `-ncffn` moves to the host (common.h, LLM_FFN_DENSE_REGEX)."""
NO_PIPELINING = ("no-pipelining", "CPU")
"""A tensor override that matches no tensor's name: with any at all llama.cpp keeps one copy of a graph's inputs
(llama-context.cpp, constructor: no pipeline parallelism where `has_tensor_overrides`)."""


class Given(NamedTuple):
    """A flag and its value."""

    written: str
    """The flag, or the environment variable, as the user wrote it."""
    text: str
    """The value; `on` or `off` for a flag that takes none."""


class State:
    """What is collected while flags are read."""

    def __init__(self, *, tool: str, suffixes: bool = False) -> None:
        self.tool = tool
        self.suffixes = suffixes
        self.values: dict[str, Any] = {}
        self.explicit: set[str] = set()
        self.files: dict[str, str] = {}
        """`model_path`, `model_url`, `hf_repo`, `hf_file`, and the like of projector and draft."""
        self.ignored: list[str] = []

    def set(self, name: str, value: Any) -> None:
        """The user says that `name` is `value`."""
        self.values[name] = value
        self.explicit.add(name)

    def extend(self, name: str, entries: Sequence[Any]) -> None:
        """The user adds `entries` to what `name` already has."""
        self.set(name, (*self.values.get(name, ()), *entries))

    def number(self, given: Given) -> int:
        """The value as a whole number."""
        return values.number(given.written, given.text, suffixes=self.suffixes)


Handler = Callable[[State, Given], None]


def _integer(name: str, *, low: int, high: int = values.INT32_MAX) -> Handler:
    def handle(state: State, given: Given) -> None:
        n = state.number(given)
        if not low <= n <= high:
            bounds = f"{low} or more" if high == values.INT32_MAX else f"{low} to {high}"
            hint = "0 takes the context that the model was trained with" if name == "n_ctx" else None
            raise UsageError(f"{given.written} {given.text}: must be {bounds}", hint=hint)
        state.set(name, n)

    return handle


def _at_least(name: str, low: int) -> Handler:
    """llama.cpp takes every number below `low` for `low`."""
    return lambda state, given: state.set(name, max(low, state.number(given)))


def _any_integer(name: str) -> Handler:
    return lambda state, given: state.set(name, state.number(given))


def _switch(name: str) -> Handler:
    return lambda state, given: state.set(name, values.switch(*given))


def _choice(name: str, *choices: str) -> Handler:
    return lambda state, given: state.set(name, values.choice(*given, choices))


def _file(part: str) -> Handler:
    return lambda state, given: state.files.__setitem__(part, given.text)


def _value(name: str, read: Callable[[str, str], Any]) -> Handler:
    return lambda state, given: state.set(name, read(*given))


def _list(name: str, read: Callable[[str, str], Sequence[Any]]) -> Handler:
    return lambda state, given: state.extend(name, read(*given))


def _n_ctx(state: State, given: Given) -> None:
    _integer("n_ctx", low=0)(state, given)
    if state.values["n_ctx"] == 0:
        state.values["fit_ctx"] = FIT_CTX_FULL  # arg.cpp: asked for in full, so --fit must not shorten it


def _n_parallel(state: State, given: Given) -> None:
    """Negative is auto; llama-cli takes 0 for 1, llama-server refuses it."""
    n = state.number(given)
    if n == 0 and state.tool == "llama-server":
        raise UsageError(f"{given.written} 0: llama-server needs at least one slot")
    state.set("n_parallel", -1 if n < 0 else max(n, 1))


def _flash_attn(state: State, given: Given) -> None:
    if given.text in values.AUTO:
        state.set("flash_attn", "auto")
    else:
        try:
            state.set("flash_attn", "on" if values.switch(*given) else "off")
        except UsageError as e:
            raise UsageError(
                f"{given.written} {given.text}: no such choice", hint="choose from auto, on, off"
            ) from e


def _gpu_layers(name: str) -> Handler:
    special = {"auto": N_GPU_LAYERS_AUTO, "all": N_GPU_LAYERS_ALL}

    def handle(state: State, given: Given) -> None:
        n = special.get(given.text)
        if n is None:
            try:
                n = max(state.number(given), N_GPU_LAYERS_ALL)
            except UsageError as e:
                raise UsageError(e.message, hint="write a number of layers, auto, or all") from e
        state.set(name, n)

    return handle


def _experts(name: str) -> Handler:
    return lambda state, _given: state.extend(name, [(EXPERTS_REGEX, "CPU")])


def _first_layers(name: str, regex: str) -> Handler:
    def handle(state: State, given: Given) -> None:
        n = state.number(given)
        if n < 0:
            raise UsageError(f"{given.written} {given.text}: must be 0 or more")
        # overrides of layers that no model has can match nothing
        state.extend(name, [(f"blk\\.{i}{regex}", "CPU") for i in range(min(n, LLAMA_MAX_LAYERS))])

    return handle


def _older_mmap(state: State, given: Given) -> None:
    locked = "mlock" in str(state.values.get("load_mode", ""))
    mapped = values.switch(*given)
    state.set("load_mode", ("mmap+mlock" if mapped else "mlock") if locked else "mmap" if mapped else "none")


def _older_mlock(state: State, _given: Given) -> None:
    state.set("load_mode", "mlock" if state.values.get("load_mode") in ("none", "mlock") else "mmap+mlock")


def _older_direct_io(state: State, given: Given) -> None:
    if values.switch(*given):
        state.set("load_mode", "dio")
    elif state.values.get("load_mode") == "dio":
        state.set("load_mode", "auto")


def _mmproj_device(state: State, given: Given) -> None:
    names = values.devices(*given)
    if len(names) > 1:
        raise UsageError(f"{given.written} {given.text}: the projector takes one device")
    state.set("mmproj_offload", bool(names))
    state.set("mmproj_device", names[0] if names else None)


def _image_max_tokens(state: State, given: Given) -> None:
    n = state.number(given)
    state.set("image_max_tokens", n if n > 0 else None)  # clip.cpp: otherwise the model's own limit


def _rerank(state: State, _given: Given) -> None:
    state.set("embedding", True)
    state.set("pooling", "rank")


def _spec_default(state: State, _given: Given) -> None:
    state.extend("spec_type", ["ngram-mod"])
    state.set("spec_ngram_mod_n_max", 64)


def _removed(_state: State, given: Given) -> None:
    from budget.runtime.presets import REPLACED

    raise UsageError(
        f"{given.written}: llama.cpp removed this flag", hint=f"use {REPLACED.get(given.written, 'another')}"
    )


def _preset(state: State, given: Given) -> None:
    from budget.runtime.presets import PRESETS

    files, settings = PRESETS[given.written.replace("_", "-")]
    state.files.update(files)
    for name, value in settings.items():
        state.set(name, value)


def _unsupported(_state: State, given: Given) -> None:
    raise UsageError(
        f"{given.written}: not supported; budget plans models that a line names itself",
        hint="give the model with -m, -hf or -mu, and each model of a preset as a line of its own",
    )


HANDLERS: dict[str, Handler] = {
    "model": _file("model_path"),
    "model_url": _file("model_url"),
    "hf_repo": _file("hf_repo"),
    "hf_file": _file("hf_file"),
    "n_ctx": _n_ctx,
    "kv_unified_per_slot": _integer("kv_unified_per_slot", low=0),
    "n_batch": _integer("n_batch", low=1),
    "n_ubatch": _integer("n_ubatch", low=0),
    "n_parallel": _n_parallel,
    "kv_unified": _switch("kv_unified"),
    "swa_full": _switch("swa_full"),
    "ctx_checkpoints": _at_least("ctx_checkpoints", 0),
    "cache_ram_mib": _at_least("cache_ram_mib", -1),
    "flash_attn": _flash_attn,
    "pooling": _choice("pooling", "none", "mean", "cls", "last", "rank"),
    "backend_sampling": _switch("backend_sampling"),
    "offload_kqv": _switch("offload_kqv"),
    "repack": _switch("repack"),
    "no_host": _switch("no_host"),
    "op_offload": _switch("op_offload"),
    "type_k": _choice("type_k", *CACHE_TYPES),
    "type_v": _choice("type_v", *CACHE_TYPES),
    "mmproj": _file("mmproj_path"),
    "mmproj_url": _file("mmproj_url"),
    "mmproj_auto": _switch("mmproj_auto"),
    "mmproj_offload": _switch("mmproj_offload"),
    "mmproj_device": _mmproj_device,
    "image_max_tokens": _image_max_tokens,
    "rpc": _list("rpc", values.servers),
    "load_mode": _choice("load_mode", "auto", "none", "mmap", "mlock", "mmap+mlock", "dio"),
    "older_mmap": _older_mmap,
    "older_mlock": _older_mlock,
    "older_direct_io": _older_direct_io,
    "lazy_mode": _choice("lazy_mode", "auto", "on", "off"),
    "devices": _value("devices", values.devices),
    "override_tensor": _list("tensor_buft_overrides", values.overrides),
    "cpu_moe": _experts("tensor_buft_overrides"),
    "n_cpu_moe": _first_layers("tensor_buft_overrides", EXPERTS_REGEX),
    "n_cpu_ffn": _first_layers("tensor_buft_overrides", DENSE_REGEX),
    "n_gpu_layers": _gpu_layers("n_gpu_layers"),
    "split_mode": _choice("split_mode", "none", "layer", "row", "tensor"),
    "tensor_split": _value("tensor_split", values.shares),
    "main_gpu": _any_integer("main_gpu"),
    "fit": _switch("fit"),
    "fit_target_mib": _value("fit_target_mib", values.mebibytes),
    "fit_ctx": _integer("fit_ctx", low=FIT_CTX_FULL),
    "override_kv": _list("override_kv", values.metadata),
    "lora": _list("lora", values.files),
    "lora_scaled": _list("lora", lambda written, text: values.files(written, text, scaled=True)),
    "control_vector": _list("control_vector", values.files),
    "control_vector_scaled": _list(
        "control_vector", lambda written, text: values.files(written, text, scaled=True)
    ),
    "embedding": _switch("embedding"),
    "rerank": _rerank,
    "model_draft": _file("draft_path"),
    "model_draft_hf": _file("draft_repo"),
    "draft_n_gpu_layers": _gpu_layers("draft_n_gpu_layers"),
    "draft_devices": _value("draft_devices", values.devices),
    "draft_type_k": _choice("draft_type_k", *CACHE_TYPES),
    "draft_type_v": _choice("draft_type_v", *CACHE_TYPES),
    "draft_override_tensor": _list("draft_tensor_buft_overrides", values.overrides),
    "draft_cpu_moe": _experts("draft_tensor_buft_overrides"),
    "draft_n_cpu_moe": _first_layers("draft_tensor_buft_overrides", EXPERTS_REGEX),
    "spec_draft_n_max": _integer("spec_draft_n_max", low=0),
    "spec_ngram_mod_n_max": _integer("spec_ngram_mod_n_max", low=0, high=1024),
    "spec_ngram_simple_size_m": _integer("spec_ngram_simple_size_m", low=1, high=1024),
    "spec_ngram_map_k_size_m": _integer("spec_ngram_map_k_size_m", low=1, high=1024),
    "spec_ngram_map_k4v_size_m": _integer("spec_ngram_map_k4v_size_m", low=1, high=1024),
    "spec_type": _list("spec_type", values.spec_types),
    "spec_default": _spec_default,
    "removed": _removed,
    "preset": _preset,
    "unsupported": _unsupported,
}
