"""A gate: models, machines and settings that must meet expectations; from TOML's tables to cases to outcomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from budget.errors import BudgetError, ExitCode, MachineError, UsageError
from budget.machine.describe import brings_host
from budget.nearest import did_you_mean, nearest
from budget.planning.budget import HOST, HOST_NAMES
from budget.planning.fit import Plan
from budget.planning.parts import Row, rows_of
from budget.planning.usage import TOTAL
from budget.units import format_size, parse_count, parse_size

Value = bool | int | str
Status = Literal["passed", "failed", "unknown", "error"]
HERE = "here"
"""The machine that the check runs on."""
NUMBERS = ("max_ctx", "n_ctx")
"""Expectations in tokens."""
PARTS = (
    "needs",
    "weights",
    "context",
    "compute",
    "output",
    "extras",
    "overhead",
    "reserve",
    "left",
    "available",
)
"""What can be expected of a device: `CUDA0.context <= 4GiB`; without a part it is `needs`."""
_TOP = ("models", "machines", "settings", "defaults", "gate")
_SHARED = ("machine", "machines", "settings", "budget", "overhead", "reserve", "assume", "expect", "fits")
_GATE = ("name", "model", "models", *_SHARED)
_MACHINE = ("gpu", "ram", "no_gpu", "file")
_EXPECTATION = re.compile(
    r"\s*(?P<left>[A-Za-z_][\w.\[\]:-]*?)\s*(?P<op>>=|<=|==|!=|=|<|>)\s*(?P<right>.+?)\s*\Z"
)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One condition on a plan."""

    text: str
    """As it is written: `CUDA0 <= 22GiB`."""
    left: str
    """`fits`, `verdict`, `max_ctx`, `n_ctx`, or a device with or without a part."""
    operator: str
    right: bool | int | str
    """Tokens, bytes, true or false, or a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineText:
    """A machine as a gate names it."""

    name: str
    file: str | None = None
    """A machine file, or a name of the catalogue; None for one that is described, or for this machine."""
    gpus: tuple[str, ...] = ()
    ram: str | None = None
    no_gpu: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model on one machine with one set of settings."""

    name: str
    gate: int
    """Which `[[gate]]` it comes from, from 0."""
    model: str
    """Path or address."""
    machine: MachineText
    settings: str
    """llama.cpp's flags."""
    expectations: tuple[Expectation, ...]
    options: Mapping[str, str] = field(default_factory=dict)
    """`budget`, `overhead`, `reserve`, `assume` where they are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one expectation."""

    expectation: Expectation
    status: Status
    actual: str
    """What it is instead, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one case."""

    case: Case
    outcomes: tuple[Outcome, ...] = ()
    error: BudgetError | None = None
    """Why there is no plan."""
    plan: Plan | None = None
    max_ctx: int | None = None
    """Where an expectation asked for it."""

    @property
    def status(self) -> Status:
        """The worst of the outcomes."""
        if self.error is not None:
            return "error"
        statuses = {o.status for o in self.outcomes}
        return next((s for s in ("failed", "error", "unknown") if s in statuses), "passed")


def exit_code(results: Sequence[Result]) -> ExitCode:
    """3 where an expectation is not met, else the code of the first error, else 7 where something is not known."""
    statuses = {r.status for r in results}
    if "failed" in statuses:
        return ExitCode.DOES_NOT_FIT
    errors = [r.error.exit_code for r in results if r.error is not None]
    if errors:
        return errors[0]
    return ExitCode.UNKNOWN if "unknown" in statuses else ExitCode.OK


def parse_gate(data: Mapping[str, Any]) -> tuple[Case, ...]:
    """The cases of a gate file, every model on every machine with every settings of each `[[gate]]`.

    Args:
        data: what TOML says.

    Raises:
        UsageError: a key that a gate does not have, with the nearest that it has; a value of the wrong kind;
            an expectation that means nothing.
    """
    _known(data, _TOP, "the file")
    names = {kind: _table(data, kind) for kind in ("models", "machines", "settings", "defaults")}
    _known(names["defaults"], _SHARED, "[defaults]")
    gates = data.get("gate", [])
    if isinstance(gates, Mapping):
        raise UsageError(
            "[gate] is a single table", hint="write [[gate]] with two brackets, once for each case"
        )
    if not isinstance(gates, list) or not gates:
        raise UsageError("no [[gate]] in the file", hint="budget check --init writes an example")
    cases = [case for i, gate in enumerate(gates) for case in _cases(i, gate, names)]
    return tuple(cases)


def _cases(number: int, gate: object, names: Mapping[str, Mapping[str, Any]]) -> list[Case]:
    if not isinstance(gate, Mapping):
        raise UsageError("gate is not a table", hint="write [[gate]] with two brackets")
    own = gate.get("name")
    where = f"[[gate]] {own!r}" if own else f"[[gate]] number {number + 1}"
    _known(gate, _GATE, where)
    said = {**_overridden(names["defaults"], gate), **gate}
    models = _several(said, "model", "models", where)
    machines = [
        _machine(value, names["machines"], where)
        for key in ("machine", "machines")
        for value in _items(said.get(key, []))
    ]
    settings = _texts(said.get("settings", ""), f"{where}: settings") or [""]
    for what, found in (("model", models), ("machine", machines)):
        if not found:
            raise UsageError(f"{where}: no {what}", hint=f"such as {_EXAMPLES[what]}")
    expectations = _expectations(said, where)
    if not expectations:
        raise UsageError(
            f"{where} expects nothing", hint='such as fits = true, or expect = ["max_ctx >= 32768"]'
        )
    options = {k: _text(said[k], f"{where}: {k}") for k in ("budget", "overhead", "reserve", "assume") if k in said}  # fmt: skip # noqa: E501
    return [
        Case(
            name=_name(own, (model, machine.name, flags), (models, [m.name for m in machines], settings)),
            gate=number,
            model=str(names["models"].get(model, model)),
            machine=machine,
            settings=_text(names["settings"].get(flags, flags), f"{where}: settings"),
            expectations=expectations,
            options=options,
        )
        for model, machine, flags in product(models, machines, settings)
    ]


_EXAMPLES = {
    "model": 'model = "model.gguf"',
    "machine": 'machine = {gpu = "rtx-4090", ram = "64GiB"}, or "here" for this machine',
}


def _overridden(defaults: Mapping[str, Any], gate: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that the gate does not replace, `machine` and `machines` being one."""
    hidden = {"machine", "machines"} if {"machine", "machines"} & gate.keys() else set()
    return {k: v for k, v in defaults.items() if k not in hidden}


def _name(own: object, chosen: Sequence[str], all_of: Sequence[Sequence[str]]) -> str:
    """The gate's name, and what tells this case from its others."""
    telling = [text for text, texts in zip(chosen, all_of, strict=True) if len(texts) > 1]
    if own is None:
        return ", ".join(text for text in chosen if text)
    return f"{own} ({', '.join(telling)})" if telling else str(own)


def _machine(given: object, tables: Mapping[str, Any], where: str) -> MachineText:
    """A name of [machines], of a file or of the catalogue, `here`, or a table."""
    value = tables.get(given, given) if isinstance(given, str) else given
    name = given if isinstance(given, str) else None
    if isinstance(value, str):
        return MachineText(name=name or value, file=None if value == HERE else value)
    place = f"{where}: machine{f' {name!r}' if name else ''}"
    if not isinstance(value, Mapping):
        raise UsageError(
            f"{place} is neither a text nor a table", hint='such as {gpu = "24GiB", ram = "64GiB"}'
        )
    _known(value, _MACHINE, place)
    gpus = tuple(_texts(value.get("gpu", []), f"{place}: gpu"))
    ram = _text(value["ram"], f"{place}: ram") if "ram" in value else None
    file = _text(value["file"], f"{place}: file") if "file" in value else None
    if ram is None and file is None and not (gpus and brings_host(gpus)):
        raise UsageError(f"{place} says nothing of its RAM", hint='such as ram = "64GiB"')
    no_gpu = value.get("no_gpu", False)
    if not isinstance(no_gpu, bool):
        raise UsageError(f"{place}: no_gpu is {no_gpu!r}", hint="write no_gpu = true")
    described = " ".join(text for text in (file, *gpus, ram) if text)
    return MachineText(name=name or described, file=file, gpus=gpus, ram=ram, no_gpu=no_gpu)


def _expectations(said: Mapping[str, Any], where: str) -> tuple[Expectation, ...]:
    """`fits = true` and `expect`, a list of conditions or a table of them."""
    found = []
    if "fits" in said:
        if not isinstance(said["fits"], bool):
            raise UsageError(f"{where}: fits is {said['fits']!r}", hint="write fits = true or fits = false")
        found.append(parse_expectation(f"fits = {str(said['fits']).lower()}"))
    expect = said.get("expect", [])
    if isinstance(expect, Mapping):
        texts = [_condition(str(key), value) for key, value in expect.items()]
    else:
        texts = _texts(expect, f"{where}: expect")
    return (*found, *(parse_expectation(text) for text in texts))


def _condition(key: str, value: object) -> str:
    """`{max_ctx = ">= 32768", fits = true}` as conditions."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{key} {text}" if text.lstrip().startswith(("<", ">", "=", "!")) else f"{key} = {text}"


def parse_expectation(text: str) -> Expectation:
    """`fits`, `fits = false`, `max_ctx >= 32k`, `CUDA0 <= 22GiB`, `vram.context < 4GiB`.

    Raises:
        UsageError: a condition of another form; the message quotes it whole.
    """
    if text.strip() in ("fits", "does_not_fit"):
        right = "true" if text.strip() == "fits" else "false"
        return Expectation(text=text.strip(), left="fits", operator="=", right=right == "true")
    match = _EXPECTATION.match(text)
    if match is None:
        raise UsageError(f"not an expectation: {text!r}", hint=_FORMS)
    left, operator, right = match["left"], match["op"], match["right"]
    value: bool | int | str
    if left == "fits":
        if right not in ("true", "false") or operator not in ("=", "==", "!="):
            raise UsageError(f"not an expectation: {text!r}", hint="write fits = true or fits = false")
        value = right == "true"
    elif left == "verdict":
        value = right.strip("'\"")
        if value not in ("fits", "does_not_fit", "unknown") or operator not in ("=", "==", "!="):
            raise UsageError(f"not an expectation: {text!r}", hint="verdicts: fits, does_not_fit, unknown")
    else:
        part = left.rpartition(".")[2]
        if "." in left and part not in PARTS:
            raise UsageError(f"not an expectation: {text!r}", hint=_nearest(part, PARTS, "parts of a device"))
        try:
            value = parse_count(right) if left in NUMBERS else _size_with_unit(right)
        except UsageError as e:
            raise UsageError(f"expectation {text!r}: {e.message}", hint=e.hint) from e
    return Expectation(text=" ".join(text.split()), left=left, operator=operator, right=value)


def _size_with_unit(text: str) -> int:
    """Bytes; a bare number, which would be bytes anywhere else, was hardly meant as such."""
    if text.isdecimal() and int(text):
        raise UsageError(f"not a size with a unit: {text!r}", hint=f"such as {text}GiB")
    return parse_size(text)


_FORMS = "such as fits = true, max_ctx >= 32768, CUDA0 <= 22GiB or CUDA0.left >= 1GiB"


def judge(case: Case, answer: Plan, max_ctx: Callable[[], int | None]) -> Result:
    """Hold `answer` against what `case` expects.

    Args:
        max_ctx: the largest context that fits, asked only where an expectation needs it.

    Raises:
        MachineError: an expectation names a device that is not there.
        UnknownAnswerError: as `max_ctx`.
    """
    longest: list[int | None] = []

    def asked() -> int | None:
        longest.extend([max_ctx()] if not longest else [])
        return longest[0]

    outcomes = tuple(_outcome(expectation, answer, asked) for expectation in case.expectations)
    return Result(case=case, outcomes=outcomes, plan=answer, max_ctx=longest[0] if longest else None)


def _outcome(expectation: Expectation, answer: Plan, max_ctx: Callable[[], int | None]) -> Outcome:
    value, actual = _actual(expectation.left, answer, max_ctx)
    if value is None:
        return Outcome(expectation=expectation, status="unknown", actual=actual)
    met = _OPERATORS[expectation.operator](value, expectation.right)
    return Outcome(expectation=expectation, status="passed" if met else "failed", actual=actual)


def _actual(left: str, answer: Plan, max_ctx: Callable[[], int | None]) -> tuple[Value | None, str]:
    """The value, None where it is not known, and how people read it."""
    reason = "; ".join(answer.reasons)
    if left == "fits":
        known = answer.verdict != "unknown"
        return (answer.fits if known else None), _verdict(answer) if known else f"not known: {reason}"
    if left == "verdict":
        return answer.verdict, answer.verdict
    if left == "n_ctx":
        return answer.layout.params.n_ctx, f"{answer.layout.params.n_ctx}"
    if left == "max_ctx":
        if answer.reasons:
            return None, f"not known: {reason}"
        n_ctx = max_ctx()
        return n_ctx or 0, "no context fits" if n_ctx is None else str(n_ctx)
    size = _size(left, answer)
    incomplete = len(answer.reasons) > sum(d.fits is None and d.required_bytes > 0 for d in answer.devices)
    if size is None or incomplete:
        return None, f"not known: {reason}" if reason else "not known"
    return size, format_size(size)


def _verdict(answer: Plan) -> str:
    if answer.fits:
        return "it fits"
    short = ", ".join(f"{f.device} short by {format_size(f.short_bytes)}" for f in answer.failures)
    return f"it does not fit: {short}"


def _size(left: str, answer: Plan) -> int | None:
    """Bytes of `DEVICE[.part]`; None where they are not known."""
    rows = rows_of(answer)
    name, dot, part = left.rpartition(".")
    name, part = (name, part) if dot else (left, "needs")
    low = name.lower()
    if low == "vram":
        chosen = [r for r in rows if r.name not in (HOST, TOTAL)]
    elif low in HOST_NAMES:
        chosen = [r for r in rows if r.name == HOST]
    elif low == TOTAL:
        chosen = [r for r in rows if r.name != TOTAL]
    else:
        chosen = [r for r in rows if r.name.lower() == low]
        if not chosen:
            there = [*(r.name for r in rows), "vram", "ram", TOTAL]
            raise MachineError(f"{left}: no device {name!r}", hint=_nearest(name, there, "devices"))
    sizes = [_part(row, part) for row in chosen]
    return None if None in sizes else sum(s for s in sizes if s is not None)


def _part(row: Row, part: str) -> int | None:
    if part == "needs":
        return row.required_bytes
    if part == "left":
        return row.left_bytes
    if part == "available":
        return row.available if isinstance(row.available, int) else None
    return row.parts["kv"] + row.parts["state"] if part == "context" else row.parts[part]


def _known(table: Mapping[str, Any], keys: Sequence[str], where: str) -> None:
    for key in table:
        if key not in keys:
            raise UsageError(f"{where} has no key {key!r}", hint=_nearest(key, keys, "keys"))


def _nearest(word: str, words: Sequence[str], what: str) -> str:
    return did_you_mean(nearest(word, words, n=1), f"{what}: {', '.join(words)}")


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"{key} is not a table", hint=f"write [{key}] and one name a line")
    return value


def _several(said: Mapping[str, Any], one: str, many: str, where: str) -> list[str]:
    return [text for key in (one, many) if key in said for text in _texts(said[key], f"{where}: {key}")]


def _items(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _texts(value: object, where: str) -> list[str]:
    """A text or a list of texts."""
    return [_text(item, where) for item in _items(value)]


def _text(value: object, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UsageError(f"{where} is {value!r}, not a text", hint="put it in quotes")
    return str(value)
