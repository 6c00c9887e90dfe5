"""Options with their origin: flag over environment over budget.toml over default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from budget.errors import UsageError
from budget.nearest import misspelt
from budget.planning.ceiling import utilization
from budget.planning.ledger import unknown_key
from budget.planning.policy import Policy
from budget.units import parse_count, parse_size

Origin = Literal["flag", "environment", "file", "default"]
Raw = str | int | float | bool
_PREFIX = "BUDGET_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One option that may stand in budget.toml."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    help: str

    @property
    def flag(self) -> str:
        """`--max-resident`."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """`BUDGET_MAX_RESIDENT`."""
        return f"{_PREFIX}{self.name.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """An option's value and where it came from."""

    name: str
    value: Any
    origin: Origin
    where: str
    """`--max-resident`, `BUDGET_MAX_RESIDENT`, the file's path, or `default`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every option, each with its origin."""

    settings: Mapping[str, Setting]

    def value(self, name: str) -> Any:
        """The value of option `name`."""
        return self.settings[name].value

    @property
    def policy(self) -> Policy:
        """The options that make up the policy."""
        return Policy(
            max_resident=self.value("max_resident"),
            reserve=self.value("reserve"),
            headroom=self.value("headroom"),
            host_cold=self.value("host_cold"),
            min_hot_context=self.value("min_hot_context"),
        )


def _size_or_auto(text: str) -> int | str:
    return "auto" if text.strip().lower() == "auto" else parse_size(text)


def _limit(text: str) -> int | str | None:
    return None if text.strip().lower() in ("none", "unlimited") else _size_or_auto(text)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError as e:
        raise UsageError(f"not a number: {text!r}", hint="such as 0.1") from e
    if not 0 <= value < 1:
        raise UsageError(f"{text} is not from 0 to below 1", hint="such as 0.1")
    return value


def _multiple(text: str) -> int:
    n = parse_count(text)
    if n < 1:
        raise UsageError(f"{text}: must be at least 1", hint="such as 256")
    return n


KEYS = (
    Key(
        name="budget", parse=str, default="auto", help="what may be used: auto, unlimited, a size, or a list"
    ),
    Key(name="overhead", parse=_size_or_auto, default="auto", help="per GPU beyond llama.cpp's buffers"),
    Key(name="reserve", parse=_size_or_auto, default=0, help="memory to leave free on every device"),
    Key(name="max_resident", parse=_limit, default=None, help="most that models may hold on a device"),
    Key(name="headroom", parse=_fraction, default=0.0, help="share of what is left that stays unused"),
    Key(name="host_cold", parse=_size_or_auto, default=0, help="RAM for K/V moved out of the cache"),
    Key(name="min_hot_context", parse=parse_count, default=0, help="smallest useful context, tokens"),
    Key(name="utilization", parse=utilization, default=utilization("1"), help="share of the budget to fill"),
    Key(name="align", parse=_multiple, default=256, help="a chosen context is a multiple of this, tokens"),
    Key(name="floor", parse=parse_count, default=4096, help="smallest context to choose, tokens"),
    Key(name="ledger", parse=str, default=None, help="file of models that were admitted"),
)
"""Every option of budget.toml, with its default."""
_BY_NAME = {key.name: key for key in KEYS}


def resolve_config(
    *,
    flags: Mapping[str, Raw | None] | None = None,
    env: Mapping[str, str] | None = None,
    file: Mapping[str, object] | None = None,
    file_name: str = "budget.toml",
) -> Config:
    """Every option with its value and origin.

    Args:
        flags: option name to what was given on the command line; None or missing is not given.
        env: environment variables; an empty one is not set. `BUDGET_*` that is no option may be another program's.
        file: what budget.toml holds.
        file_name: its path, for messages.

    Raises:
        UsageError: a value that makes no sense, with where it stands, an unknown key of `file` or `flags`, or a
            variable that is all but one of budget's.
    """
    for name in file or {}:
        if name not in _BY_NAME:
            raise unknown_key(name, tuple(_BY_NAME), file_name)
    for name in flags or {}:
        if name not in _BY_NAME:
            raise unknown_key(name, tuple(_BY_NAME), "flags")
    _refuse_misspelt(env or {})
    return Config(
        settings={key.name: _resolve(key, flags or {}, env or {}, file or {}, file_name) for key in KEYS}
    )


def _refuse_misspelt(env: Mapping[str, str]) -> None:
    """A misspelt variable would change the answer without a word."""
    known = [key.variable.removeprefix(_PREFIX) for key in KEYS]
    for name, value in env.items():
        word = name.removeprefix(_PREFIX)
        if word != name and value.strip() and word not in known:
            meant = misspelt(word, known)
            if meant is not None:
                raise UsageError(
                    f"{name}: no such variable",
                    hint=f"did you mean {_PREFIX}{meant}? variables: {', '.join(key.variable for key in KEYS)}",
                )


def _resolve(
    key: Key,
    flags: Mapping[str, Raw | None],
    env: Mapping[str, str],
    file: Mapping[str, object],
    file_name: str,
) -> Setting:
    if flags.get(key.name) is not None:
        value = _parse(key, flags[key.name], key.flag)
        return Setting(name=key.name, value=value, origin="flag", where=key.flag)
    if env.get(key.variable, "").strip():
        value = _parse(key, env[key.variable], key.variable)
        return Setting(name=key.name, value=value, origin="environment", where=key.variable)
    if key.name in file:
        value = _parse(key, file[key.name], f"{file_name}: {key.name}")
        return Setting(name=key.name, value=value, origin="file", where=file_name)
    return Setting(name=key.name, value=key.default, origin="default", where="default")


def _parse(key: Key, raw: object, where: str) -> Any:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise UsageError(f"{where} is {raw!r}, which is no value for {key.name} ({key.help})")
    try:
        return key.parse(_text(key, raw))
    except UsageError as e:
        raise e.at(where) from e


def _text(key: Key, raw: str | int | float) -> str:
    """`raw` as it would be typed; a number is no name, and a fraction of a byte or token means nothing."""
    if key.parse is str and key.name != "budget" and not isinstance(raw, str):
        raise UsageError(f"{raw!r} is no text", hint=f'put it in quotes: {key.name} = "..."')
    if isinstance(raw, float) and key.name not in ("headroom", "utilization"):
        raise UsageError(
            f"{raw!r} is no whole number", hint='write whole bytes, or a size in quotes: "1.5GiB"'
        )
    return str(raw)


def config_object(config: Config) -> dict[str, Any]:
    """`budget/config/v1`, for JSON."""
    return {
        "schema": "budget/config/v1",
        "settings": [
            {"name": s.name, "value": shown(s.value), "origin": s.origin, "where": s.where}
            for s in config.settings.values()
        ],
    }


def shown(value: Any) -> str | int | float | None:
    """A value as JSON has it; None is no limit."""
    return value if value is None or isinstance(value, str | int | float) else float(value)
