"""One value of one flag: the text to what llama.cpp makes of it, or a reason why not.

Every function takes the flag as it was written, for the message, and raises UsageError.
Source: common/arg.cpp and common/common.cpp at the validated commit.
"""

from __future__ import annotations

import re

from budget.errors import UsageError
from budget.nearest import one_of
from budget.runtime.settings import MAX_DEVICES
from budget.units import parse_count

INT32_MAX = (1 << 31) - 1
TRUE, FALSE, AUTO = ("on", "enabled", "true", "1"), ("off", "disabled", "false", "0"), ("auto", "-1")
"""`common_arg_utils::is_truthy`, `is_falsey`, `is_autoy`."""
SPEC_TYPES = (
    "none", "draft-simple", "draft-eagle3", "draft-mtp", "draft-dflash", "draft-dspark", "ngram-simple",
    "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache",
)  # fmt: skip
"""common/speculative.cpp, `common_speculative_type_from_name_map`."""
_INTEGER = r"[+-]?[0-9]+"
_DECIMAL = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"


def number(written: str, text: str, *, suffixes: bool = False) -> int:
    """A whole number that fits an int; with `suffixes` also `32k`."""
    text = text.strip(" \t\n\v\f\r")
    if suffixes and text[-1:] in ("k", "K", "m", "M"):
        try:
            value = parse_count(text)
        except UsageError as e:
            raise e.at(written) from e
    elif re.fullmatch(_INTEGER, text):
        value = int(text) if len(text) < 20 else INT32_MAX + 1
    else:
        start = re.match(_INTEGER, text)
        example = "such as 32768 or 32k" if suffixes else "such as 32768"
        hint = f"llama.cpp would read this as {start[0]}" if start else example
        raise UsageError(f"{written} {text}: not a whole number", hint=hint)
    if not -INT32_MAX - 1 <= value <= INT32_MAX:
        raise UsageError(f"{written} {text}: out of range", hint=f"llama.cpp reads at most {INT32_MAX}")
    return value


def decimal(written: str, text: str) -> float:
    """A finite number."""
    if re.fullmatch(_DECIMAL, text.strip()):
        value = float(text)
        if abs(value) != float("inf"):
            return value
    raise UsageError(f"{written}: {text!r} is not a number")


def switch(written: str, text: str) -> bool:
    """On or off, in any of llama.cpp's words."""
    if text in TRUE:
        return True
    if text in FALSE:
        return False
    raise UsageError(f"{written} {text}: neither on nor off", hint=f"write {written} on or {written} off")


def choice(written: str, text: str, choices: tuple[str, ...]) -> str:
    """One of `choices`."""
    if text in choices:
        return text
    hint = one_of(text, choices, "choose from")
    raise UsageError(f"{written} {text}: no such choice", hint=hint)  # llama.cpp tells upper from lower case


def shares(written: str, text: str) -> tuple[float, ...]:
    """The shares of `-ts`, separated by commas or slashes."""
    parts = _listed(written, text)
    values = tuple(decimal(written, part) for part in parts)
    if any(value < 0 for value in values):
        raise UsageError(f"{written} {text}: a share is negative")
    if not any(values):
        raise UsageError(f"{written} {text}: every share is 0", hint="leave it away to split by free memory")
    return values


def mebibytes(written: str, text: str) -> tuple[int, ...]:
    """The margins of `-fitt`, MiB."""
    values = tuple(number(written, part) for part in _listed(written, text))
    if any(value < 0 for value in values):
        raise UsageError(f"{written} {text}: a margin is negative")
    return values


def _listed(written: str, text: str) -> list[str]:
    """Split as std::sregex_token_iterator does: an empty piece at the end does not count."""
    parts = re.split(r"[,/]+", text)
    if len(parts) > 1 and not parts[-1]:
        parts.pop()
    if len(parts) >= MAX_DEVICES:
        raise UsageError(
            f"{written}: {len(parts)} values; llama.cpp takes at most {MAX_DEVICES - 1}, one for each device"
        )
    return parts


def overrides(written: str, text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of pattern and buffer type; commas separate pairs, whatever the pattern says."""
    from budget.runtime.pattern import tensor_pattern

    entries = []
    for part in text.split(","):
        pattern, equals, buffer_type = part.partition("=")
        if not equals or not buffer_type:
            raise UsageError(
                f"{written} {text}: {part!r} is no PATTERN=BUFFER",
                hint=r"such as -ot '\.ffn_.*_exps=CPU'; a pattern cannot hold a comma",
            )
        try:
            tensor_pattern(pattern)
        except UsageError as e:
            raise e.at(f"{written} {part}") from e
        entries.append((pattern, buffer_type))
    return tuple(entries)


def devices(written: str, text: str) -> tuple[str, ...]:
    """Device names in order; `none` alone is no device."""
    if text == "none":
        return ()
    names = tuple(text.split(","))
    if not all(names):
        raise UsageError(f"{written} {text!r}: a device name is empty", hint="name devices, or none")
    return names


def csv(text: str) -> list[str]:
    """Items between commas; a comma inside double quotes belongs to its item (`parse_csv_row`)."""
    items, item, quoted = [], "", False
    i = 0
    while i < len(text):
        c = text[i]
        if c == '"' and quoted and text[i + 1 : i + 2] == '"':
            item += c
            i += 1
        elif c == '"' and (quoted or not item):
            quoted = not quoted
        elif c == "," and not quoted:
            items.append(item)
            item = ""
        else:
            item += c
        i += 1
    return [*items, item]


def files(written: str, text: str, *, scaled: bool = False) -> tuple[str, ...]:
    """Paths of adapters or control vectors; with `scaled` each has `:SCALE` behind it."""
    paths = csv(text)
    if scaled:
        pairs = [path.split(":") for path in paths]
        if any(len(pair) != 2 for pair in pairs):
            raise UsageError(
                f"{written} {text}: write FILE:SCALE", hint="the file's name cannot hold a colon"
            )
        for _, scale in pairs:
            decimal(written, scale)
        paths = [path for path, _ in pairs]
    if not all(paths):
        raise UsageError(f"{written} {text!r}: a file name is empty")
    return tuple(paths)


def metadata(written: str, text: str) -> tuple[tuple[str, str], ...]:
    """Pairs of key and `type:value`, as `string_parse_kv_override` checks them."""
    entries = []
    for item in csv(text):
        key, equals, typed = item.partition("=")
        kind, colon, value = typed.partition(":")
        if not equals or not colon or kind not in ("int", "float", "bool", "str"):
            raise UsageError(f"{written} {item}: write KEY=TYPE:VALUE with TYPE int, float, bool or str")
        if kind == "bool" and value not in ("true", "false"):
            raise UsageError(f"{written} {item}: a bool is true or false")
        if len(key.encode()) >= 128 or (kind == "str" and len(value.encode()) > 127):
            raise UsageError(f"{written} {item}: llama.cpp takes keys and texts of at most 127 bytes")
        entries.append((key, typed))
    return tuple(entries)


def servers(written: str, text: str) -> tuple[str, ...]:
    """RPC servers, `host:port`."""
    names = tuple(text.split(","))
    for name in names:
        host, _, port = name.rpartition(":")
        if not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise UsageError(
                f"{written} {name}: no HOST:PORT",
                hint=f"such as {written} {host or name or '192.168.0.2'}:50052",
            )
    return names


def spec_types(written: str, text: str) -> tuple[str, ...]:
    """Kinds of speculation; `none` in the list makes it empty."""
    types: list[str] = []
    for name in text.split(","):
        if choice(written, name, SPEC_TYPES) == "none":
            return ()
        types.append(name)
    return tuple(types)
