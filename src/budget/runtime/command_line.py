"""A real llama-server or llama-cli command line, and its environment, to `Settings`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, cast

from budget.errors import BudgetError, UsageError
from budget.runtime.flags import Flag, by_spelling
from budget.runtime.settings import CACHE_TYPES, N_GPU_LAYERS_ALL, N_GPU_LAYERS_AUTO, Settings, Tool
from budget.units import parse_count

EXPERTS_REGEX = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""What `-cmoe` moves to the host (common.h, LLM_FFN_EXPS_REGEX)."""
DENSE_REGEX = r"\.ffn_(up|down|gate)\."
"""What `-ncffn` moves to the host (common.h, LLM_FFN_DENSE_REGEX)."""
MAX_DEVICES = 16
_TRUE, _FALSE, _AUTO = ("on", "enabled", "true", "1"), ("off", "disabled", "false", "0"), ("auto", "-1")
_ROLLBACK_TYPES = frozenset({"draft-mtp", "draft-eagle3", "draft-dflash", "draft-dspark"})
"""Speculation that keeps states of the main model to roll back to (common.h, `need_n_rs_seq`)."""
SPEC_TYPES = (
    "none", "draft-simple", "draft-eagle3", "draft-mtp", "draft-dflash", "draft-dspark", "ngram-simple",
    "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A llama.cpp command line, understood."""

    tool: Tool
    model: str | None
    """A path, an address, or `hf://user/repo[:quant]`; None where the line names no model."""
    settings: Settings
    explicit: frozenset[str]
    """Names of the settings that the line or the environment sets."""
    ignored: tuple[str, ...]
    """Flags that cannot change memory."""


class _State:
    """What is collected while flags are read."""

    def __init__(self, *, suffixes: bool) -> None:
        self.values: dict[str, Any] = {}
        self.model: dict[str, str] = {}
        self.ignored: list[str] = []
        self.suffixes = suffixes

    def extend(self, name: str, entries: Sequence[Any]) -> None:
        self.values[name] = (*self.values.get(name, ()), *entries)


Handler = Callable[[_State, str, str], None]
"""(state, flag as written, value); the value of a flag without one is `on` or `off`."""


def parse_command_line(argv: Sequence[str], env: Mapping[str, str]) -> CommandLine:
    """Understand `argv`, whose first word is llama-server or llama-cli, with `LLAMA_ARG_*` from `env`.

    Raises:
        UsageError: another program, a flag that llama.cpp does not have, or a value it refuses.

    Source: common/arg.cpp, `common_params_parse_ex`.
    """
    if not argv:
        raise UsageError(
            "nothing after `--`", hint="such as: budget fit -- llama-server -m model.gguf -ngl 99"
        )
    tool = _tool(argv[0])
    state = _State(suffixes=False)
    _read_environment(state, tool, env)
    _read_arguments(state, tool, argv[1:])
    return CommandLine(
        tool=tool,
        model=_model(state.model),
        settings=_settings(state, tool),
        explicit=frozenset(state.values),
        ignored=tuple(state.ignored),
    )


def parse_settings(
    arguments: Sequence[str], *, tool: str = "llama-server", suffixes: bool = False
) -> tuple[Settings, frozenset[str]]:
    """Settings from llama.cpp flags alone, and the names of those that were set.

    Args:
        suffixes: accept `32k` where llama.cpp takes a plain number of tokens.

    Raises:
        UsageError: a flag that llama.cpp does not have, or a value it refuses.
    """
    state = _State(suffixes=suffixes)
    _read_arguments(state, tool, arguments)
    return _settings(state, cast(Tool, tool)), frozenset(state.values)


def _tool(program: str) -> Tool:
    name = PureWindowsPath(PurePosixPath(program).name).name.removesuffix(".exe")
    if name in ("llama-server", "llama-cli"):
        return cast(Tool, name)
    raise UsageError(
        f"the line after `--` starts with {program!r}", hint="start it with llama-server or llama-cli"
    )


def _read_environment(state: _State, tool: str, env: Mapping[str, str]) -> None:
    seen = set()
    for flag, _ in by_spelling(tool).values():
        if flag.env is None or flag.env in seen:
            continue
        seen.add(flag.env)
        value = env.get(flag.env)
        if flag.negated and flag.env.replace("LLAMA_ARG_", "LLAMA_ARG_NO_") in env:
            value = "0"
        if value is None or flag.setting is None:
            continue
        if flag.kind == "v" and value not in _TRUE:
            continue
        if flag.kind in "vb":
            value = "on" if _switch(flag.env, value) else "off"
        _apply(state, flag, flag.env, value)


def _read_arguments(state: _State, tool: str, arguments: Sequence[str]) -> None:
    table = by_spelling(tool)
    rest = iter(arguments)
    for written in rest:
        spelling = written.replace("_", "-") if written.startswith("--") else written
        found = table.get(spelling)
        if found is None:
            raise _unknown_flag(written, tool, table)
        flag, positive = found
        if flag.kind in "vb":
            value = "on" if positive else "off"
        else:
            value = _value(rest, written)
            if flag.kind == "2":
                _value(rest, written)
        if flag.setting is None:
            state.ignored.append(written)
        else:
            _apply(state, flag, written, value)


def _value(rest: Any, written: str) -> str:
    value = next(rest, None)
    if value is None:
        raise UsageError(f"{written} needs a value")
    return str(value)


def _unknown_flag(written: str, tool: str, table: Mapping[str, Any]) -> UsageError:
    from difflib import get_close_matches

    near = get_close_matches(written, table, n=2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"{tool} --help lists its flags"
    return UsageError(f"{tool} has no flag {written}", hint=hint)


def _apply(state: _State, flag: Flag, written: str, value: str) -> None:
    handler = _HANDLERS[flag.setting or ""]
    try:
        handler(state, written, value)
    except BudgetError:
        raise
    except ValueError as e:
        raise UsageError(f"{written} {value}: {e}") from e


def _settings(state: _State, tool: Tool) -> Settings:
    values = dict(state.values)
    types = values.get("spec_type", ())
    if "draft-mtp" in types:
        values["load_mtp"] = True
    if _ROLLBACK_TYPES & set(types):
        values["n_rs_seq"] = values.get("spec_draft_n_max", Settings(tool=tool).spec_draft_n_max)
    if values.pop("mmproj_auto", True) is False:
        values["mmproj"] = None
    return Settings(tool=tool, **values)


def _model(parts: Mapping[str, str]) -> str | None:
    """The model that llama.cpp would load: a repository beats an address, an address beats a path."""
    if "hf_repo" in parts:
        repo = parts["hf_repo"]
        return f"hf://{repo.split(':')[0]}/{parts['hf_file']}" if "hf_file" in parts else f"hf://{repo}"
    return parts.get("url") or parts.get("path")


def _number(state: _State, written: str, text: str) -> int:
    if state.suffixes and text[-1:] in "kKmM":
        try:
            return parse_count(text)
        except UsageError as e:
            raise UsageError(f"{written}: {e.message}", hint=e.hint) from e
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{written} {text}: not a whole number") from None


def _switch(written: str, text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise UsageError(f"{written} {text}: neither on nor off")


def _integer(name: str, *, low: int | None = None, not_zero: bool = False) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        number = _number(state, written, text)
        if (low is not None and number < low) or (not_zero and number == 0):
            raise UsageError(f"{written} {text}: llama.cpp takes {'no 0' if not_zero else f'{low} or more'}")
        state.values[name] = number

    return handle


def _flag(name: str) -> Handler:
    return lambda state, written, text: state.values.__setitem__(name, _switch(written, text))


def _text(name: str) -> Handler:
    return lambda state, written, text: state.values.__setitem__(name, text)


def _choice(name: str, choices: Sequence[str]) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        if text not in choices:
            raise UsageError(f"{written} {text}: no such choice", hint=f"choose from {', '.join(choices)}")
        state.values[name] = text

    return handle


def _constant(name: str, value: str) -> Handler:
    return lambda state, written, text: state.values.__setitem__(name, value)


def _model_part(part: str) -> Handler:
    return lambda state, written, text: state.model.__setitem__(part, text)


def _flash_attn(state: _State, written: str, text: str) -> None:
    if text in _AUTO:
        state.values["flash_attn"] = "auto"
    else:
        state.values["flash_attn"] = "on" if _switch(written, text) else "off"


def _gpu_layers(name: str) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        special = {"auto": N_GPU_LAYERS_AUTO, "all": N_GPU_LAYERS_ALL}
        state.values[name] = special[text] if text in special else _number(state, written, text)

    return handle


def _tensor_split(state: _State, written: str, text: str) -> None:
    parts = re.split(r"[,/]+", text)
    if len(parts) >= MAX_DEVICES:
        raise UsageError(f"{written} {text}: {len(parts)} shares, llama.cpp takes less than {MAX_DEVICES}")
    try:
        shares = tuple(float(part) for part in parts)
    except ValueError:
        raise UsageError(f"{written} {text}: a share is no number", hint="such as -ts 3,1") from None
    if any(not share >= 0 or share == float("inf") for share in shares):
        raise UsageError(f"{written} {text}: a share is negative or no number")
    state.values["tensor_split"] = shares


def _overrides(name: str) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        entries = []
        for part in text.split(","):
            pattern, equals, buffer_type = part.partition("=")
            if not equals or not pattern or not buffer_type:
                raise UsageError(
                    f"{written} {text}: {part!r} is no PATTERN=BUFFER",
                    hint=r"such as -ot '\.ffn_.*_exps=CPU'",
                )
            check_pattern(written, pattern)
            entries.append((pattern, buffer_type))
        state.extend(name, entries)

    return handle


def check_pattern(written: str, pattern: str) -> None:
    """Refuse what is no regular expression.

    llama.cpp reads ECMAScript's dialect; what tensor names need of it, Python reads the same way.

    Raises:
        UsageError: with the place where it breaks.
    """
    try:
        re.compile(pattern)
    except re.error as e:
        raise UsageError(f"{written}: {pattern!r} is not a regular expression: {e}") from e


def _experts(name: str) -> Handler:
    return lambda state, written, text: state.extend(name, [(EXPERTS_REGEX, "CPU")])


def _first_layers(name: str, regex: str) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        n = _number(state, written, text)
        if n < 0:
            raise UsageError(f"{written} {text}: llama.cpp takes 0 or more")
        state.extend(name, [(f"blk\\.{i}{regex}", "CPU") for i in range(min(n, 512))])

    return handle


def _devices(name: str) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        names = tuple(part for part in text.split(",") if part)
        if not names:
            raise UsageError(f"{written}: no devices given", hint="name devices, or none")
        state.values[name] = () if names == ("none",) else names

    return handle


def _listed(name: str, *, scaled: bool = False) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        items = [item for item in text.split(",") if item]
        if scaled:
            for item in items:
                if item.count(":") != 1:
                    raise UsageError(f"{written} {item}: write FILE:SCALE")
            items = [item.split(":")[0] for item in items]
        state.extend(name, items)

    return handle


def _fit_target(state: _State, written: str, text: str) -> None:
    try:
        state.values["fit_target_mib"] = tuple(int(part) for part in re.split(r"[,/]+", text))
    except ValueError:
        raise UsageError(f"{written} {text}: sizes are whole numbers of MiB") from None


def _override_kv(state: _State, written: str, text: str) -> None:
    entries = []
    for item in text.split(","):
        key, equals, value = item.partition("=")
        kind = value.partition(":")[0]
        if not equals or kind not in ("int", "float", "bool", "str"):
            raise UsageError(f"{written} {item}: write KEY=TYPE:VALUE with TYPE int, float, bool or str")
        entries.append((key, value))
    state.extend("override_kv", entries)


def _rerank(state: _State, written: str, text: str) -> None:
    state.values["embedding"] = True
    state.values["pooling"] = "rank"


def _spec_type(state: _State, written: str, text: str) -> None:
    names = text.split(",")
    for name in names:
        if name not in SPEC_TYPES:
            raise UsageError(f"{written} {name}: no such kind", hint=f"choose from {', '.join(SPEC_TYPES)}")
    state.extend("spec_type", [name for name in names if name != "none"])


def _mmproj_device(state: _State, written: str, text: str) -> None:
    if text == "none":
        state.values["mmproj_offload"] = False
    else:
        state.values["mmproj_device"] = text


def _rpc(state: _State, written: str, text: str) -> None:
    servers = tuple(part for part in text.split(",") if part)
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise UsageError(f"{written} {server}: write HOST:PORT")
    state.extend("rpc", servers)


def _refused(why: str, hint: str) -> Handler:
    def handle(state: _State, written: str, text: str) -> None:
        raise UsageError(f"{written}: {why}", hint=hint)

    return handle


_HANDLERS: dict[str, Handler] = {
    "model": lambda state, written, text: state.model.__setitem__(
        "url" if written in ("-mu", "--model-url", "LLAMA_ARG_MODEL_URL") else "path", text
    ),
    "hf_repo": _model_part("hf_repo"),
    "hf_file": _model_part("hf_file"),
    "n_ctx": _integer("n_ctx", low=0),
    "kv_unified_per_slot": _integer("kv_unified_per_slot", low=0),
    "n_batch": _integer("n_batch", low=1),
    "n_ubatch": _integer("n_ubatch", low=0),
    "n_parallel": _integer("n_parallel", low=-1, not_zero=True),
    "kv_unified": _flag("kv_unified"),
    "swa_full": _flag("swa_full"),
    "ctx_checkpoints": _integer("ctx_checkpoints", low=0),
    "cache_ram_mib": _integer("cache_ram_mib", low=-1),
    "flash_attn": _flash_attn,
    "pooling": _choice("pooling", ("none", "mean", "cls", "last", "rank")),
    "offload_kqv": _flag("offload_kqv"),
    "repack": _flag("repack"),
    "no_host": _flag("no_host"),
    "op_offload": _flag("op_offload"),
    "type_k": _choice("type_k", CACHE_TYPES),
    "type_v": _choice("type_v", CACHE_TYPES),
    "mmproj": _text("mmproj"),
    "mmproj_auto": _flag("mmproj_auto"),
    "mmproj_offload": _flag("mmproj_offload"),
    "mmproj_device": _mmproj_device,
    "image_max_tokens": _integer("image_max_tokens", low=0),
    "rpc": _rpc,
    "load_mode": _choice("load_mode", ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")),
    "load_mode_mmap": _constant("load_mode", "mmap"),
    "load_mode_none": _constant("load_mode", "none"),
    "load_mode_mlock": _constant("load_mode", "mlock"),
    "load_mode_dio": _constant("load_mode", "dio"),
    "lazy_mode": _choice("lazy_mode", ("auto", "on", "off")),
    "devices": _devices("devices"),
    "override_tensor": _overrides("tensor_buft_overrides"),
    "cpu_moe": _experts("tensor_buft_overrides"),
    "n_cpu_moe": _first_layers("tensor_buft_overrides", EXPERTS_REGEX),
    "n_cpu_ffn": _first_layers("tensor_buft_overrides", DENSE_REGEX),
    "n_gpu_layers": _gpu_layers("n_gpu_layers"),
    "split_mode": _choice("split_mode", ("none", "layer", "row", "tensor")),
    "tensor_split": _tensor_split,
    "main_gpu": _integer("main_gpu"),
    "fit": _flag("fit"),
    "fit_target_mib": _fit_target,
    "fit_ctx": _integer("fit_ctx", low=0),
    "override_kv": _override_kv,
    "lora": _listed("lora"),
    "lora_scaled": _listed("lora", scaled=True),
    "control_vector": _listed("control_vector"),
    "control_vector_scaled": _listed("control_vector", scaled=True),
    "embedding": _flag("embedding"),
    "rerank": _rerank,
    "model_draft": _text("model_draft"),
    "model_draft_hf": lambda state, written, text: state.values.__setitem__("model_draft", f"hf://{text}"),
    "draft_n_gpu_layers": _gpu_layers("draft_n_gpu_layers"),
    "draft_devices": _devices("draft_devices"),
    "draft_type_k": _choice("draft_type_k", CACHE_TYPES),
    "draft_type_v": _choice("draft_type_v", CACHE_TYPES),
    "draft_override_tensor": _overrides("draft_tensor_buft_overrides"),
    "draft_cpu_moe": _experts("draft_tensor_buft_overrides"),
    "draft_n_cpu_moe": _first_layers("draft_tensor_buft_overrides", EXPERTS_REGEX),
    "spec_draft_n_max": _integer("spec_draft_n_max", low=0),
    "spec_type": _spec_type,
    "removed": _refused("llama.cpp removed this flag", "use --spec-draft-n-max or the --spec-ngram flags"),
    "preset": _refused(
        "a preset names its own model", "give the model and its flags, which llama.cpp prints at start"
    ),
    "unsupported": _refused("budget plans one model at a time", "give the model with -m, -hf or -mu"),
}

_TO_FLAG: tuple[tuple[str, str], ...] = (
    ("n_ctx", "-c"), ("n_batch", "-b"), ("n_ubatch", "-ub"), ("n_parallel", "-np"),
    ("kv_unified_per_slot", "--kv-unified-per-slot"), ("split_mode", "-sm"), ("main_gpu", "-mg"),
    ("flash_attn", "-fa"), ("type_k", "-ctk"), ("type_v", "-ctv"), ("load_mode", "-lm"), ("lazy_mode", "-lzm"),
    ("pooling", "--pooling"), ("model_draft", "-md"), ("draft_type_k", "-ctkd"), ("draft_type_v", "-ctvd"),
    ("mmproj", "-mm"), ("mmproj_device", "-mmdev"), ("image_max_tokens", "--image-max-tokens"),
    ("cache_ram_mib", "-cram"), ("ctx_checkpoints", "-ctxcp"), ("spec_draft_n_max", "--spec-draft-n-max"),
    ("fit_ctx", "-fitc"),
)  # fmt: skip
_TO_SWITCH: tuple[tuple[str, str, str], ...] = (
    ("kv_unified", "-kvu", "-no-kvu"), ("offload_kqv", "-kvo", "-nkvo"), ("repack", "--repack", "-nr"),
    ("op_offload", "--op-offload", "--no-op-offload"), ("mmproj_offload", "--mmproj-offload", "--no-mmproj-offload"),
    ("swa_full", "--swa-full", ""), ("no_host", "--no-host", ""), ("embedding", "--embedding", ""),
)  # fmt: skip


def to_command_line(
    settings: Settings, *, model: str | None = None, keep: frozenset[str] = frozenset()
) -> list[str]:
    """The line that means `settings`: what differs from the tool's defaults, and what `keep` names.

    The tool's name comes first. Parsed again it gives the same settings.
    """
    default = Settings(tool=settings.tool)
    changed = {
        f.name for f in fields(Settings) if getattr(settings, f.name) != getattr(default, f.name)
    } | keep
    line: list[str] = [settings.tool]
    if model is not None:
        line += ["-hf", model.removeprefix("hf://")] if model.startswith("hf://") else ["-m", model]
    for name, flag in _TO_FLAG:
        if name in changed and getattr(settings, name) is not None:
            line += [flag, str(getattr(settings, name))]
    for name, flag, negated in _TO_SWITCH:
        if name in changed:
            spelling = flag if getattr(settings, name) else negated
            line += [spelling] if spelling else []
    for name, flag in (("n_gpu_layers", "-ngl"), ("draft_n_gpu_layers", "-ngld")):
        if name in changed:
            layers = getattr(settings, name)
            line += [flag, {N_GPU_LAYERS_AUTO: "auto", N_GPU_LAYERS_ALL: "all"}.get(layers, str(layers))]
    line += _lists(settings, changed)
    if "fit" in changed:
        line += ["-fit", "on" if settings.fit else "off"]
    return line


def _lists(settings: Settings, changed: set[str]) -> list[str]:
    line: list[str] = []
    for name, flag in (("devices", "-dev"), ("draft_devices", "-devd")):
        value = getattr(settings, name)
        if name in changed and value is not None:
            line += [flag, ",".join(value) or "none"]
    if "tensor_split" in changed and settings.tensor_split:
        line += ["-ts", ",".join(f"{share:.9g}" for share in settings.tensor_split)]
    for name, flag in (("lora", "--lora"), ("control_vector", "--control-vector"), ("rpc", "--rpc"),
                       ("spec_type", "--spec-type")):  # fmt: skip
        if name in changed and getattr(settings, name):
            line += [flag, ",".join(getattr(settings, name))]
    if "fit_target_mib" in changed:
        line += ["-fitt", ",".join(map(str, settings.fit_target_mib))]
    if "override_kv" in changed and settings.override_kv:
        line += ["--override-kv", ",".join(f"{k}={v}" for k, v in settings.override_kv)]
    line += _override_flags(settings.tensor_buft_overrides, "-cmoe", "-ncmoe", "-ot")
    return line + _override_flags(settings.draft_tensor_buft_overrides, "-cmoed", "-ncmoed", "-otd")


def _override_flags(
    overrides: tuple[tuple[str, str], ...], all_flag: str, some_flag: str, flag: str
) -> list[str]:
    """The shortest flags for `overrides`, in their order."""
    line: list[str] = []
    rest = list(overrides)
    while rest:
        if rest[0] == (EXPERTS_REGEX, "CPU"):
            line.append(all_flag)
            rest = rest[1:]
            continue
        n = 0
        while n < len(rest) and rest[n] == (f"blk\\.{n}{EXPERTS_REGEX}", "CPU"):
            n += 1
        if n:
            line += [some_flag, str(n)]
            rest = rest[n:]
        else:
            line += [flag, f"{rest[0][0]}={rest[0][1]}"]
            rest = rest[1:]
    return line
