"""A real llama-server or llama-cli command line, and its environment, to `Settings`.

Source: llama.cpp common/arg.cpp, `common_params_parse_ex`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from budget.errors import UsageError
from budget.nearest import did_you_mean, nearest
from budget.record import record
from budget.runtime.flags import Flag, by_spelling, flags_of
from budget.runtime.handlers import HANDLERS, Given, State
from budget.runtime.settings import Settings, Tool
from budget.runtime.values import TRUE, switch

_NEEDS_ROLLBACK = frozenset({"draft-mtp", "draft-eagle3", "draft-dflash", "draft-dspark"})
"""Speculation that keeps states of the main model to roll back to (common.h, `need_n_rs_seq`)."""
_SUBCOMMANDS: Mapping[str, Tool] = {
    "serve": "llama-server", "server": "llama-server", "cli": "llama-cli", "client": "llama-cli",
}  # fmt: skip
"""What the one program `llama` calls its tools (app/llama.cpp)."""


@record
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


def parse_command_line(argv: Sequence[str], env: Mapping[str, str], *, suffixes: bool = False) -> CommandLine:
    """Understand `argv`, whose first word is llama-server or llama-cli, with `LLAMA_ARG_*` from `env`.

    Args:
        suffixes: accept `32k` where llama.cpp takes a plain number of tokens.

    Raises:
        UsageError: another program, a flag that llama.cpp does not have, or a value it refuses.
    """
    tool, n_words = _tool(argv)
    state = State(tool=tool, suffixes=suffixes)
    _read_environment(state, env)
    _read_arguments(state, argv[n_words:])
    return CommandLine(
        tool=tool,
        model=_model(state.files),
        settings=_settings(state, tool),
        explicit=frozenset(state.explicit),
        ignored=tuple(state.ignored),
    )


def parse_settings(
    arguments: Sequence[str],
    *,
    tool: str = "llama-server",
    suffixes: bool = False,
    env: Mapping[str, str] | None = None,
) -> tuple[Settings, frozenset[str]]:
    """Settings from llama.cpp flags alone, and the names of those that were set.

    Args:
        suffixes: accept `32k` where llama.cpp takes a plain number of tokens.
        env: `LLAMA_ARG_*` variables that count; none by default.

    Raises:
        UsageError: a flag that llama.cpp does not have, or a value it refuses.
    """
    state = State(tool=tool, suffixes=suffixes)
    _read_environment(state, env or {})
    _read_arguments(state, arguments)
    return _settings(state, cast(Tool, tool)), frozenset(state.explicit)


def _tool(argv: Sequence[str]) -> tuple[Tool, int]:
    """The tool, and how many words name it."""
    if not argv:
        raise UsageError("no command line given", hint="such as: llama-server -m model.gguf -ngl 99")
    program = argv[0].replace("\\", "/").rpartition("/")[2]
    name = program[:-4] if program.lower().endswith(".exe") else program
    if name in ("llama-server", "llama-cli"):
        return cast(Tool, name), 1
    if name == "llama" and len(argv) > 1 and argv[1] in _SUBCOMMANDS:
        return _SUBCOMMANDS[argv[1]], 2
    raise UsageError(
        f"the command line starts with {argv[0]!r}", hint="start it with llama-server or llama-cli"
    )


def _read_environment(state: State, env: Mapping[str, str]) -> None:
    """Apply variables in the order of the flag table, as llama.cpp does."""
    if not env:
        return
    for flag in flags_of(state.tool):
        if flag.env is None or flag.setting is None or flag.setting == "unsupported":
            continue
        text = env.get(flag.env)
        if flag.negated and flag.env.replace("LLAMA_ARG_", "LLAMA_ARG_NO_") in env:
            text = "0"
        if text is None or (flag.kind == "v" and text not in TRUE):
            continue
        if flag.kind == "b":
            text = "on" if switch(flag.env, text) else "off"
        HANDLERS[flag.setting](state, Given(flag.env, text))


def _read_arguments(state: State, arguments: Sequence[str]) -> None:
    table = by_spelling(state.tool)
    rest = iter(arguments)
    for written in rest:
        found = table.get(written.replace("_", "-") if written.startswith("--") else written)
        if found is None:
            raise _unknown_flag(written, state.tool, table)
        flag, positive = found
        text = _text(flag, written, positive, rest)
        if flag.setting is None:
            state.ignored.append(written)
        else:
            HANDLERS[flag.setting](state, Given(written, text))


def _text(flag: Flag, written: str, positive: bool, rest: Iterator[str]) -> str:
    """The value of `flag`, taken from `rest` where it has one."""
    if flag.kind in "vb":
        return "on" if positive else "off"
    texts = [next(rest, None) for _ in range(2 if flag.kind == "2" else 1)]
    if None in texts:
        raise UsageError(f"{written} needs a value", hint=_example(flag, written))
    return str(texts[0])


def _example(flag: Flag, written: str) -> str | None:
    """What may stand behind a flag."""
    from budget.runtime.options import SETTINGS_OPTIONS

    option = next((o for o in SETTINGS_OPTIONS if o.name == flag.setting), None)
    if option is None or option.metavar is None:
        return None
    return f"write {written} {'|'.join(option.choices) if option.choices else option.metavar}"


def _unknown_flag(written: str, tool: str, table: Mapping[str, object]) -> UsageError:
    name, equals, _ = written.partition("=")
    if equals and name in table:
        return UsageError(f"{tool} has no flag {written}", hint=f"write {name} and its value as two words")
    if not written.startswith("-"):
        return UsageError(
            f"{tool} takes no argument {written!r}", hint="name the model with -m; quote values with spaces"
        )
    hint = did_you_mean(nearest(written, table), f"{tool} --help lists its flags")
    return UsageError(f"{tool} has no flag {written}", hint=hint)


def _settings(state: State, tool: Tool) -> Settings:
    """What the flags add up to."""
    settings, files = dict(state.values), state.files
    types = settings.get("spec_type", ())
    settings["load_mtp"] = "draft-mtp" in types
    if _NEEDS_ROLLBACK.intersection(types):
        settings["n_rs_seq"] = settings.get("spec_draft_n_max", Settings().spec_draft_n_max)
    if tool == "llama-cli" and settings.get("n_parallel") == -1:
        settings |= {"n_parallel": 4, "kv_unified": True}  # server.cpp, which llama-cli runs inside
    projector = files.get("mmproj_url") or files.get("mmproj_path")
    if projector:
        settings["mmproj"] = projector
        state.explicit.add("mmproj")
    draft = _draft(files)
    if draft:
        settings["model_draft"] = draft
        state.explicit.add("model_draft")
    return Settings(tool=tool, **settings)


def _model(files: Mapping[str, str]) -> str | None:
    """The model that llama.cpp would load: a repository beats an address, an address beats a path."""
    repo, file = files.get("hf_repo"), files.get("hf_file")
    if repo:
        return f"hf://{repo.partition(':')[0]}/{file}" if file else f"hf://{repo}"
    return files.get("model_url") or files.get("model_path") or None


def _draft(files: Mapping[str, str]) -> str | None:
    """The draft model; with a repository, `-md` is the file in it."""
    repo, path = files.get("draft_repo"), files.get("draft_path")
    if repo:
        return f"hf://{repo.partition(':')[0]}/{path}" if path else f"hf://{repo}"
    return path or None
