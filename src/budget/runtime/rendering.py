"""`Settings` as a llama.cpp command line that means the same."""

from __future__ import annotations

from typing import Any

from budget.record import field_names
from budget.runtime.handlers import DENSE_REGEX, EXPERTS_REGEX
from budget.runtime.settings import FIT_CTX_FULL, N_GPU_LAYERS_ALL, N_GPU_LAYERS_AUTO, Settings

_SERVER_ONLY = frozenset({"kv_unified", "kv_unified_per_slot", "pooling", "embedding"})
"""Fields that no flag of llama-cli sets."""
_FLAGS: tuple[tuple[str, str], ...] = (
    ("kv_unified_per_slot", "--kv-unified-per-slot"), ("n_batch", "-b"), ("n_ubatch", "-ub"), ("n_gpu_layers", "-ngl"),
    ("split_mode", "-sm"), ("tensor_split", "-ts"),
    ("main_gpu", "-mg"), ("devices", "-dev"), ("flash_attn", "-fa"), ("type_k", "-ctk"), ("type_v", "-ctv"),
    ("load_mode", "-lm"), ("lazy_mode", "-lzm"), ("pooling", "--pooling"), ("model_draft", "-md"),
    ("draft_n_gpu_layers", "-ngld"), ("draft_devices", "-devd"), ("draft_type_k", "-ctkd"),
    ("draft_type_v", "-ctvd"), ("spec_type", "--spec-type"), ("spec_draft_n_max", "--spec-draft-n-max"),
    ("spec_ngram_mod_n_max", "--spec-ngram-mod-n-max"),
    ("spec_ngram_simple_size_m", "--spec-ngram-simple-size-m"),
    ("spec_ngram_map_k_size_m", "--spec-ngram-map-k-size-m"),
    ("spec_ngram_map_k4v_size_m", "--spec-ngram-map-k4v-size-m"), ("mmproj", "-mm"),
    ("image_max_tokens", "--image-max-tokens"), ("lora", "--lora"), ("control_vector", "--control-vector"),
    ("cache_ram_mib", "-cram"), ("ctx_checkpoints", "-ctxcp"), ("fit", "-fit"), ("fit_target_mib", "-fitt"),
    ("rpc", "--rpc"), ("override_kv", "--override-kv"),
)  # fmt: skip
_SWITCHES: tuple[tuple[str, str, str], ...] = (
    ("kv_unified", "-kvu", "-no-kvu"), ("offload_kqv", "-kvo", "-nkvo"), ("repack", "--repack", "-nr"),
    ("op_offload", "--op-offload", "--no-op-offload"), ("mmproj_auto", "--mmproj-auto", "--no-mmproj"),
    ("mmproj_offload", "--mmproj-offload", "--no-mmproj-offload"), ("swa_full", "--swa-full", ""),
    ("no_host", "--no-host", ""), ("embedding", "--embedding", ""),
    ("backend_sampling", "--backend-sampling", ""),
)  # fmt: skip
_FILES = frozenset({"lora", "control_vector", "override_kv"})
_LAYERS = {N_GPU_LAYERS_AUTO: "auto", N_GPU_LAYERS_ALL: "all"}


def to_command_line(
    settings: Settings,
    *,
    model: str | None = None,
    keep: frozenset[str] = frozenset(),
    explicit_only_changes: bool = True,
) -> list[str]:
    """The line that means `settings`: the tool, the model, and flags; parsed again it gives the same settings.

    Args:
        model: what to load, as `CommandLine.model` says it.
        keep: fields to spell out although they have their default.
        explicit_only_changes: leave out what has its default; False spells out every field that can be.
    """
    wanted = keep if explicit_only_changes else frozenset(field_names(Settings))
    default = Settings(tool=settings.tool)
    wanted |= {name for name in field_names(Settings) if getattr(settings, name) != getattr(default, name)}
    if settings.tool == "llama-cli":
        wanted -= _SERVER_ONLY
    line = [settings.tool, *_model(model), *_context(settings, wanted)]
    for name, flag in _FLAGS:
        if name in wanted:
            line += _words(name, flag, getattr(settings, name))
    for name, flag, negated in _SWITCHES:
        value = getattr(settings, name)
        if name in wanted and value is not None:
            spelling = flag if value else negated
            line += [spelling] if spelling else []
    if settings.mmproj_device is not None:  # also turns offloading on, so what turns it off comes behind
        line += ["-mmdev", settings.mmproj_device]
        line += [] if settings.mmproj_offload else ["--no-mmproj-offload"]
    line += _overrides(settings.tensor_buft_overrides, ("-cmoe", "-ncmoe", "-ncffn", "-ot"))
    return line + _overrides(settings.draft_tensor_buft_overrides, ("-cmoed", "-ncmoed", "", "-otd"))


def _context(settings: Settings, wanted: frozenset[str]) -> list[str]:
    """`-c`, `-np` and `-fitc`, which say more than their numbers."""
    line: list[str] = []
    full = settings.fit_ctx == FIT_CTX_FULL
    if settings.n_ctx or full:
        line += ["-c", str(settings.n_ctx)] if "n_ctx" in wanted or not settings.n_ctx else []
    if settings.tool == "llama-cli" and settings.kv_unified:
        line += ["-np", "-1"]  # the only way llama-cli has to share one cache
    elif settings.n_parallel >= 0 and "n_parallel" in wanted:
        line += ["-np", str(settings.n_parallel)]
    if "fit_ctx" in wanted and not (full and settings.n_ctx == 0):
        line += ["-fitc", str(settings.fit_ctx)]
    return line


def _model(model: str | None) -> list[str]:
    """`-hf`, `-mu` or `-m`."""
    if model is None:
        return []
    if model.startswith("hf://"):
        repo, file = _repository(model)
        return ["-hf", repo, "-hff", file] if file else ["-hf", repo]
    return ["-mu" if model.startswith(("http://", "https://")) else "-m", model]


def _repository(address: str) -> tuple[str, str]:
    """`user/repo[:quant]` and the file of an `hf://` address."""
    user, _, rest = address.removeprefix("hf://").partition("/")
    name, _, file = rest.partition("/")
    return f"{user}/{name}", file


def _words(name: str, flag: str, value: Any) -> list[str]:
    """One flag and its value; nothing where only leaving it away says the value."""
    if name in ("n_gpu_layers", "draft_n_gpu_layers"):
        return [flag, _LAYERS.get(value, str(value))]
    if name in ("devices", "draft_devices"):
        return [] if value is None else [flag, ",".join(value) or "none"]
    if value is None or value == () or (name == "mmproj" and str(value).startswith("hf://")):
        return []  # a projector of the repository comes with -hf
    if isinstance(value, bool):
        return [flag, "on" if value else "off"]
    if name == "override_kv":
        value = tuple(f"{key}={typed}" for key, typed in value)
    if isinstance(value, tuple):
        return [flag, ",".join(_item(name, item) for item in value)]
    if name == "model_draft" and value.startswith("hf://"):
        repo, file = _repository(value)
        return ["-hfd", repo, flag, file] if file else ["-hfd", repo]
    return ["-mmu" if name == "mmproj" and "://" in str(value) else flag, str(value)]


def _item(name: str, item: Any) -> str:
    if isinstance(item, float):
        return repr(item).removesuffix(".0")
    if name in _FILES and any(c in item for c in ',"'):
        doubled = item.replace('"', '""')
        return f'"{doubled}"'
    return str(item)


def _overrides(entries: tuple[tuple[str, str], ...], flags: tuple[str, str, str, str]) -> list[str]:
    """The shortest flags for `entries`, in their order."""
    all_experts, first_experts, first_dense, pattern = flags
    line: list[str] = []
    at = 0
    while at < len(entries):
        if entries[at] == (EXPERTS_REGEX, "CPU"):
            line.append(all_experts)
            at += 1
            continue
        for flag, regex in ((first_experts, EXPERTS_REGEX), (first_dense, DENSE_REGEX)):
            n = _run(entries[at:], regex) if flag else 0
            if n:
                line += [flag, str(n)]
                at += n
                break
        else:
            line += [pattern, f"{entries[at][0]}={entries[at][1]}"]
            at += 1
    return line


def _run(entries: tuple[tuple[str, str], ...], regex: str) -> int:
    """How many entries from the first on are those of layers 0, 1, 2, ..."""
    n = 0
    while n < len(entries) and entries[n] == (f"blk\\.{n}{regex}", "CPU"):
        n += 1
    return n
