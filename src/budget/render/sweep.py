"""A grid of plans: as tables, as plots in text, as data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from budget.planning.axes import FIELDS
from budget.planning.budget import HOST
from budget.planning.fit import DevicePlan, Plan
from budget.planning.grid import Point, Series, Sweep
from budget.planning.parts import Row, binding, rows_of, unlimited
from budget.planning.usage import TOTAL
from budget.record import replace
from budget.render.json import ENGINE, device_object, model_object
from budget.render.plot import MAX_CURVES, Chart, Curve, Limit, plot
from budget.render.screen import GAP, Block, Cell, Drawing, Table, Text, Title
from budget.render.words import gib, verdict_cell
from budget.units import GiB, MiB, format_count, format_size

AXIS_NAMES = {
    "ctx": "context (-c)",
    "ngl": "layers on GPUs (-ngl)",
    "np": "slots (-np)",
    "ub": "micro-batch (-ub)",
}
_CHANGES = 1 << 20
"""A device whose need moves by less over the grid counts as unchanged, bytes."""
_SHARE = 20
"""A device has a plot where the grid moves its need by one part in so many of what it may use, and of what moves most.
"""
_FEW = 3
"""Values of a row that are listed one by one; more are a range."""


def sweep_screen(found: Sweep, *, name: str, suggestions: Sequence[Mapping[str, Any]] = ()) -> list[Block]:
    """Largest contexts first, then a plot and a table for each device that the grid changes.

    Args:
        suggestions: where nothing fits, what would make the point that comes closest fit (`suggestion_object`).
    """
    changing, rest = devices_of(found)
    single = len(found.series) == 1
    blocks: list[Block] = [
        Title(f"memory by {AXIS_NAMES[found.axis]}", "", name),
        Text(fixed_text(found), "dim"),
        *_answers(found),
        *_what_to_do(found, name, suggestions),
    ]
    all_charts = charts(found)
    if any(len(chart.curves) > MAX_CURVES for chart in all_charts):
        blocks.append(Text(f"More than {MAX_CURVES} lines are no plot; the tables have them.", "dim"))
    if single:
        blocks += [block for chart in all_charts for block in _drawings(chart)]
        blocks += [GAP, device_table(found, changing)]
    else:
        for device, chart in zip(changing, all_charts, strict=True):
            table = grid_table(found, device)
            blocks += [*_drawings(chart), GAP, Text(caption(found, device), "bold"), table]
    blocks += [Text(text, "dim") for text in _marks(found, changing)]
    blocks += [GAP, *(Text(text, "dim") for text in rest)] if rest else []
    return blocks + [Text(f"Note: {problem}", "dim") for problem in problems(found)]


def devices_of(found: Sweep) -> tuple[list[str], list[str]]:
    """Devices that the grid changes enough for a plot, and what the others need in words."""
    needs: dict[str, list[Row]] = {}
    for answer in found.plans:
        for row in rows_of(answer):
            needs.setdefault(row.name, []).append(row)
    moves = {n: max(map(_need, rows)) - min(map(_need, rows)) for n, rows in needs.items()}
    changing = [
        name
        for name, rows in needs.items()
        if moves[name] >= _CHANGES
        and moves[name] * _SHARE >= max(_cap(rows) or max(map(_need, rows)), *moves.values())
    ]
    if not changing and needs:
        # nothing moves much: the device that moves most is still what was asked for
        changing = [max(needs, key=lambda n: (moves[n], max(map(_need, needs[n]))))]
    rest = [_in_words(n, rows) for n, rows in needs.items() if n not in changing and max(map(_need, rows))]
    return changing, rest


def _need(row: Row) -> int:
    return row.required_bytes


def _cap(rows: Sequence[Row]) -> int | None:
    return next((r.available for r in rows if isinstance(r.available, int)), None)


def _in_words(name: str, rows: Sequence[Row]) -> str:
    low, high, cap = min(map(_need, rows)), max(map(_need, rows)), _cap(rows)
    few = high - low < _CHANGES or format_size(low) == format_size(high)
    span = format_size(high) if few else f"{format_size(low)} to {format_size(high)}"
    short = ": too little somewhere" if cap is not None and high > cap else ""
    return f"{name} needs {span}{'' if cap is None else f' of {format_size(cap)}'}{short}"


def charts(found: Sweep) -> list[Chart]:
    """What is plotted: for a single line all devices in one chart, else a chart for each device."""
    devices = devices_of(found)[0]
    if len(found.series) == 1:
        return [_chart(found, [(found.series[0], device) for device in devices])] if devices else []
    return [_chart(found, [(series, device) for series in found.series]) for device in devices]


def caption(found: Sweep, device: str) -> str:
    """What the table of one device shows."""
    limit = _limit(found, device)
    name = f"{device} (one pool)" if device == TOTAL else device
    return f"GiB on {name}" + ("" if limit is None else f", which may use {gib(limit)}")


def tick(axis: str, value: object) -> str:
    """A value of an axis for people: contexts in steps of 1024 where they are whole."""
    if axis == "ctx" and isinstance(value, int):
        return f"{value // 1024}k" if value % 1024 == 0 else format_count(value)
    return str(value)


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


def fixed_text(found: Sweep) -> str:
    """The model and the settings that are the same at every point, as llama.cpp resolves them."""
    answer = found.plans[0]
    params, model, fixed = answer.layout.params, answer.request.model, set(FIELDS) - set(found.axes)
    parts = [f"{model.architecture}, {model.n_layer} layers"]
    if "ctx" in fixed:
        trained = ", all it was trained with" if params.n_ctx == model.n_ctx_train else ""
        parts.append(f"context {format_count(params.n_ctx)}{trained}")
    if "np" in fixed and params.n_seq_max > 1:
        parts.append(f"{params.n_seq_max} slots{' that share it' if params.kv_unified else ''}")
    if "kv" in found.axes:
        fixed -= {"ctk", "ctv"}
    types = [
        text for axis, text in (("ctk", params.type_k.name), ("ctv", params.type_v.name)) if axis in fixed
    ]
    if types:
        parts.append(f"{'K/V' if len(types) == 2 else 'K' if 'ctk' in fixed else 'V'} {'/'.join(types)}")
    if "ub" in fixed:
        parts.append(f"micro-batch {params.n_ubatch}")
    devices, layers = answer.layout.placement.devices, answer.layout.placement.n_gpu_layers
    if "ngl" in fixed and devices and answer.request.described is None:
        parts.append(f"{min(layers, model.n_layer_all + 1)} of {model.n_layer_all + 1} layers on GPUs")
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
    return f"fits at -{found.axis} {', '.join(_runs(found, series))}", "good"


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
    return f"{text}: {short} at -{found.axis} {at}, which comes closest"


def _runs(found: Sweep, series: Series) -> list[str]:
    """The values that fit; those that follow each other in the grid as a range."""
    texts = []
    for fits, members in groupby(series.points, key=lambda p: p.verdict == "fits"):
        run = [tick(found.axis, p.values[found.axis]) for p in members]
        if fits:
            texts += [f"{run[0]} to {run[-1]}"] if len(run) > _FEW else run
    return texts


def _answers(found: Sweep) -> list[Block]:
    """What each line says."""
    told = [(series.name, *answer_of(found, series)) for series in found.series]
    if len(told) == 1:
        return [Text(*told[0][1:])]
    rows: list[list[Cell]] = [[name, (text, style)] for name, text, style in told]
    return [GAP, Table(_headers(found), rows, left=(0, 1), wrap=1)]


def _headers(found: Sweep) -> list[str]:
    """Of the table of answers."""
    names = ", ".join(name for name in found.axes if name != found.axis)
    return [names.replace("ctk, ctv", "K/V"), "answer"]


def _what_to_do(found: Sweep, name: str, suggestions: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The next step where nothing fits, or nothing says what a device may use."""
    if {s.outcome for s in found.series} == {"unknown"}:
        unknown = dict.fromkeys(d.name for a in found.plans for d in a.devices if d.fits is None)
        budgets = [[f"--budget {d}=SIZE", f"what {d} may use"] for d in unknown]
        return [Text("Next:", "bold"), Table((), budgets, left=(0, 1), indent=2)] if budgets else []
    if {s.outcome for s in found.series} != {"does_not_fit"}:
        return []
    enough = [s for s in suggestions if s["fits"]]
    if not enough:
        of = shlex.quote(name)
        further = [
            [f"budget advise {of}", "settings that fit"],
            [f"budget hardware --fits {of}", "cards that do"],
        ]
        return [Text("Next:", "bold"), Table((), further, left=(0, 1), indent=2)]
    answer = nearest(found)
    at = "" if answer is None else f" at -c {answer.layout.params.n_ctx}"
    rows: list[list[Cell]] = [[(s["flag"], "good"), f"costs {s['cost']}"] for s in enough]
    return [Text(f"What makes it fit{at}:", "bold"), Table((), rows, left=(0, 1), wrap=1, indent=2)]


def nearest(found: Sweep) -> Plan | None:
    """Of all that does not fit, the plan that falls short by least."""
    plans = [s.nearest for s in found.series if s.nearest is not None]
    return min(plans, key=lambda p: sum(f.short_bytes for f in p.failures), default=None)


def _row(answer: Plan | None, device: str) -> Row | None:
    return None if answer is None else next((r for r in rows_of(answer) if r.name == device), None)


def _limit(found: Sweep, device: str) -> int | None:
    return _cap([row for answer in found.plans if (row := _row(answer, device)) is not None])


def _chart(found: Sweep, lines: Sequence[tuple[Series, str]]) -> Chart:
    devices = list(dict.fromkeys(device for _, device in lines))
    is_one = len(devices) == 1
    highest = max(
        (_need(row) for series, device in lines for p in series.points if (row := _row(p.plan, device))),
        default=0,
    )
    unit, factor = ("GiB", GiB) if highest >= GiB else ("MiB", MiB)
    limits: dict[int, list[str]] = {}
    for device in devices:
        limit = _limit(found, device)
        if limit is not None:
            limits.setdefault(limit, []).append(device)
    return Chart(
        title=f"{f'{devices[0]}: ' if is_one else ''}{unit} by {AXIS_NAMES[found.axis]}",
        unit=unit,
        curves=tuple(
            _curve(
                found,
                series,
                device,
                factor,
                name=series.name if is_one else device,
                is_marked=device in _binding(series, devices),
            )
            for series, device in lines
        ),
        limits=tuple(
            Limit(
                value=size / factor,
                name=f"{'' if is_one else ', '.join(of) + ' '}may use {format_size(size)}",
            )
            for size, of in limits.items()
        ),
        ticks=_ticks(found),
    )


def _ticks(found: Sweep) -> tuple[tuple[int, str], ...]:
    """A label for each place along the axis where there is a point."""
    ticks: dict[int, str] = {}
    for series in found.series:
        for point in series.points:
            x = point.position(found.axis)
            if x is not None:
                ticks.setdefault(x, tick(found.axis, point.values[found.axis]))
    return tuple(sorted(ticks.items()))


def _curve(found: Sweep, series: Series, device: str, factor: int, *, name: str, is_marked: bool) -> Curve:
    points: dict[int, float] = {}
    for point in series.points:
        x, row = point.position(found.axis), _row(point.plan, device)
        if x is not None and row is not None:
            points.setdefault(x, row.required_bytes / factor)
    best = None
    row = _row(series.at_max, device)
    if series.max_ctx is not None and row is not None and is_marked:
        best = (series.max_ctx, row.required_bytes / factor, format_count(series.max_ctx))
    return Curve(name=name, points=tuple(sorted(points.items())), best=best)


def _binding(series: Series, devices: Sequence[str]) -> Sequence[str]:
    """Of the devices that share a chart, the one that ends the context; all of them where another does."""
    tightest = None if series.at_max is None else binding(rows_of(series.at_max))
    return devices if tightest is None or tightest.name not in devices else [tightest.name]


def _drawings(chart: Chart) -> list[Block]:
    """The plot below its title; none where a single point or too many lines make none."""
    if len(chart.xs) < 2 or len(chart.curves) > MAX_CURVES:
        return []
    return [GAP, Drawing(lambda look: [((chart.title, "bold"),), *plot(chart, look)])]


def grid_table(found: Sweep, device: str) -> Table:
    """What `device` needs at each point, in GiB; `!` where it is more than it may use."""
    headers = [found.axis, *(f"{s.name} " for s in found.series)]
    rows = [
        [tick(found.axis, value), *(_cell(s.points[i], device) for s in found.series)]
        for i, value in enumerate(found.axes[found.axis])
    ]
    return Table(headers, rows)


def device_table(found: Sweep, devices: Sequence[str]) -> Table:
    """The same for a single line: a column per device, and the verdict; what devices may use is the last row."""
    (series,) = found.series
    rows: list[list[Cell]] = [
        [tick(found.axis, point.values[found.axis]), *_cells(point, devices), verdict_cell(point.verdict)]
        for point in series.points
    ]
    if series.max_ctx is not None and series.max_ctx not in found.axes["ctx"]:
        best = Point(values={"ctx": series.max_ctx}, plan=series.at_max)
        at = sum(isinstance(v, int) and v < series.max_ctx for v in found.axes["ctx"])
        rows.insert(at, [format_count(series.max_ctx), *_cells(best, devices), ("largest", "good")])
    rows.append(["may use", *(_limit_cell(found, device) for device in devices), ""])
    headers = [found.axis, *(f"{device} GiB " for device in devices), "verdict"]
    return Table(headers, rows, left=(0, len(headers) - 1))


def _limit_cell(found: Sweep, device: str) -> Cell:
    rows = [row for answer in found.plans if (row := _row(answer, device)) is not None]
    limit = _cap(rows)
    return f"{gib(limit)} " if limit is not None else "no limit " if any(map(unlimited, rows)) else "unknown "


def _cells(point: Point, devices: Sequence[str]) -> list[Cell]:
    return [_cell(point, device) for device in devices]


def _cell(point: Point, device: str) -> Cell:
    row = _row(point.plan, device)
    if row is None:
        return "- "
    mark, style = {False: ("!", "bad"), None: ("?", "warn"), True: (" ", "")}[row.fits]
    return f"{gib(row.required_bytes)}{mark}", style


def _marks(found: Sweep, devices: Sequence[str]) -> list[str]:
    """What the marks in the tables mean, those that there are."""
    fits = {row.fits for answer in found.plans for row in rows_of(answer) if row.name in devices}
    texts = [
        "! more than the device may use" if False in fits else "",
        "? not known what the device may use" if None in fits else "",
        "- no plan" if any(p.plan is None for s in found.series for p in s.points) else "",
    ]
    shown = [text for text in texts if text]
    return [", ".join(shown)] if shown else []


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
        + ("" if (limit := _limit(found, d.name)) is None else f", may use {format_size(limit)}")
        for d in request.machine.devices
        if d.kind != "cpu"
    ]
    ram = _limit(found, HOST)
    devices.append(HOST + ("" if ram is None else f", may use {format_size(ram)}"))
    return [
        ("model", name),
        ("settings", fixed_text(found)),
        ("llama.cpp line", f"{shlex.join(line)}; swept: {axes}"),
        ("machine", "; ".join(devices)),
        ("budget", request.budget.text),
        ("made by", f"budget {__version__}, llama.cpp {VALIDATED_COMMIT}"),
    ]


def sweep_object(found: Sweep, *, path: str, file_bytes: int | None) -> dict[str, Any]:
    """`budget/sweep/v1`; there is at least one plan."""
    model = found.plans[0].request.model
    return {
        "schema": "budget/sweep/v1",
        "engine": ENGINE,
        "model": model_object(model, path=path, file_bytes=file_bytes),
        "axis": found.axis,
        "axes": {name: list(values) for name, values in found.axes.items()},
        "series": [{"settings": dict(s.values), "max_ctx": s.max_ctx} for s in found.series],
        "points": [_point_object(point) for series in found.series for point in series.points],
    }


def _point_object(point: Point) -> dict[str, Any]:
    answer = point.plan
    return {
        "settings": dict(point.values),
        "n_ctx": None if answer is None else answer.layout.params.n_ctx,
        "verdict": "unknown" if answer is None else answer.verdict,
        "problem": point.problem if answer is None else "; ".join(answer.reasons) or None,
        "devices": [] if answer is None else [device_object(d) for d in answer.devices],
    }


def sweep_rows(found: Sweep) -> list[dict[str, Any]]:
    """A row per point and device for CSV, with the names of the JSON."""
    rows: list[dict[str, Any]] = []
    for point in (point for series in found.series for point in series.points):
        first = {**point.values, "verdict": "unknown" if point.plan is None else point.plan.verdict}
        devices = [] if point.plan is None else point.plan.devices
        rows += [first | _device_row(device) for device in devices] or [first]
    return rows


def _device_row(device: DevicePlan) -> dict[str, Any]:
    found = device_object(device)
    sizes = {key: value for key, value in found.items() if key.endswith("_bytes")}
    return {"device": found["name"], **sizes, "fits": found["fits"]}
