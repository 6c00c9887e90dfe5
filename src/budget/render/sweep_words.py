"""What a sweep says in words: its axes, what is fixed, what each line comes to."""

from __future__ import annotations

import shlex
from itertools import groupby

from budget.planning.axes import FIELDS
from budget.planning.budget import HOST
from budget.planning.grid import Series, Sweep
from budget.record import replace
from budget.render.sweep_devices import limit_bytes
from budget.render.words import layers_text
from budget.units import format_count, format_size

AXIS_NAMES = {
    "ctx": "context (-c)",
    "ngl": "layers on GPUs (-ngl)",
    "np": "slots (-np)",
    "ub": "micro-batch (-ub)",
}
_FEW = 3
"""Values of a row that are listed one by one; more are a range."""


def tick(axis: str, value: object) -> str:
    """A value of an axis for people: contexts in steps of 1024 where they are whole."""
    if axis == "ctx" and isinstance(value, int):
        return f"{value // 1024}k" if value % 1024 == 0 else format_count(value)
    return str(value)


def fixed_text(found: Sweep) -> str:
    """The model and the settings that are the same at every point, as llama.cpp resolves them."""
    answer = found.plans[0]
    params, model, placement = answer.layout.params, answer.request.model, answer.layout.placement
    swept = {field for axis in found.axes for field in FIELDS[axis]}
    parts = [f"{model.architecture}, {layers_text(answer.request)}"]
    if "n_ctx" not in swept:
        trained = ", all it was trained with" if params.n_ctx == model.n_ctx_train else ""
        parts.append(f"context {format_count(params.n_ctx)}{trained}")
    if "n_parallel" not in swept and params.n_seq_max > 1:
        parts.append(f"{params.n_seq_max} slots{' that share it' if params.kv_unified else ''}")
    pair = (("type_k", "K", params.type_k), ("type_v", "V", params.type_v))
    types = {letter: type_.name for field, letter, type_ in pair if field not in swept}
    if types:
        parts.append(f"{'/'.join(types)} {'/'.join(types.values())}")
    if "n_ubatch" not in swept:
        parts.append(f"micro-batch {max(p.layout.params.n_ubatch for p in found.plans)}")
    if "n_gpu_layers" not in swept and placement.devices and answer.request.described is None:
        n_layers = model.n_layer_all + 1
        parts.append(f"{min(placement.n_gpu_layers, n_layers)} of {n_layers} layers on GPUs")
    return ", ".join(parts)


def answer_of(found: Sweep, series: Series) -> tuple[str, str]:
    """What a line says in one sentence, and its style."""
    outcome = series.outcome
    if outcome == "refused":
        return f"llama.cpp refuses this: {'; '.join(series.problems)}", "bad"
    if outcome == "unknown":
        return f"not known: {'; '.join(series.problems)}", "warn"
    if outcome == "does_not_fit":
        return _nothing(found, series), "bad"
    if series.max_ctx is not None:
        trained = " (all that it was trained with)" if series.max_is_trained else ""
        return f"largest context that fits: {format_count(series.max_ctx)}{trained}", "good"
    return f"fits at {_flag(found)} {', '.join(_runs(found, series))}", "good"


def _flag(found: Sweep) -> str:
    """llama.cpp's flag for the axis."""
    return "-c" if found.axis == "ctx" else f"-{found.axis}"


def _nothing(found: Sweep, series: Series) -> str:
    """By how much it falls short where it comes closest."""
    text = "no context fits" if found.axis == "ctx" else "nothing fits"
    answer = series.nearest
    if answer is None or not answer.failures:
        return text
    short = ", ".join(f"{f.device} is short by {format_size(f.short_bytes)}" for f in answer.failures)
    if found.axis == "ctx":
        return f"{text}: {short} even at {format_count(answer.layout.params.n_ctx)}"
    at = next(p.values[found.axis] for p in series.points if p.plan is answer)
    return f"{text}: {short} at {_flag(found)} {at}, which comes closest"


def _runs(found: Sweep, series: Series) -> list[str]:
    """The values that fit; those that follow each other in the grid as a range."""
    texts = []
    for fits, members in groupby(series.points, key=lambda p: p.verdict == "fits"):
        run = [tick(found.axis, p.values[found.axis]) for p in members]
        if fits:
            texts += [f"{run[0]} to {run[-1]}"] if len(run) > _FEW else run
    return texts


def problems(found: Sweep) -> list[str]:
    """Why points are missing or not known, each reason once, where the answer of its line does not say so."""
    names: dict[str, list[str]] = {}
    for series in found.series:
        for reason in series.problems if series.outcome in ("fits", "does_not_fit") else ():
            names.setdefault(reason, []).append(series.name)
    return [
        reason if len(of) == len(found.series) else f"{'; '.join(of)}: {reason}"
        for reason, of in names.items()
    ]


def facts(found: Sweep, name: str) -> list[tuple[str, str]]:
    """What the numbers hold for: model, machine, settings and versions; nothing that changes from run to run."""
    from budget import __version__
    from budget.model.architectures import VALIDATED_COMMIT
    from budget.runtime.rendering import to_command_line
    from budget.runtime.settings import Settings

    request = found.plans[0].request
    default = Settings(tool=request.settings.tool)
    swept = {field: getattr(default, field) for axis in found.axes for field in FIELDS[axis]}
    line = to_command_line(replace(request.settings, **swept))
    axes = " ".join(f"--{axis} {','.join(map(str, values))}" for axis, values in found.axes.items())
    devices = [
        f"{d.name}{f' ({d.description})' if d.description else ''}"
        + ("" if (limit := limit_bytes(found, d.name)) is None else f", may use {format_size(limit)}")
        for d in request.machine.devices
        if d.kind != "cpu"
    ]
    ram = limit_bytes(found, HOST)
    devices.append(HOST + ("" if ram is None else f", may use {format_size(ram)}"))
    return [
        ("model", name),
        ("settings", fixed_text(found)),
        ("llama.cpp line", f"{shlex.join(line)}; swept: {axes}"),
        ("machine", "; ".join(devices)),
        ("budget", request.budget.text),
        ("made by", f"budget {__version__}, llama.cpp {VALIDATED_COMMIT}"),
    ]
