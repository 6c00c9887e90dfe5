"""The screen of `budget fit`: verdict first, a bar per device, the numbers, what binds, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from budget.planning.fit import Plan
from budget.planning.parts import Row, binding, rows_of, unlimited
from budget.planning.sources import sources_of
from budget.planning.summary import beyond_trained, weights_alone, what_to_give
from budget.planning.summary import notes_of as plan_notes
from budget.planning.usage import TOTAL
from budget.render.bars import NAMES, bars
from budget.render.json import device_object
from budget.render.screen import GAP, Block, Cell, Drawing, Table, Text, Title
from budget.render.words import VERDICT, VERDICT_STYLE, gib, layers_text, shortfall_lines
from budget.units import format_count, format_size

_ALWAYS = ("weights", "kv", "compute", "overhead")
"""Parts that have a column even where nothing takes it."""
_NARROW = ("weights", "kv", "state", "compute")
"""Parts that keep a column of their own on a narrow screen."""
_VISIBLE_BYTES = 5 << 20
"""A part smaller than this on every device rounds to nothing in GiB and gets no column of its own."""


def fit_screen(
    answer: Plan,
    *,
    name: str,
    max_ctx: int | None,
    suggestions: Sequence[Mapping[str, Any]] = (),
    buffers: bool = False,
    host: bool = False,
    verbose: bool = False,
) -> list[Block]:
    """The whole answer."""
    rows = rows_of(answer)
    blocks: list[Block] = [
        Title(VERDICT[answer.verdict], VERDICT_STYLE[answer.verdict], name),
        *map(Text, question_lines(answer)),
        GAP,
        Drawing(lambda look: bars(rows, look)),
        GAP,
        part_table(rows),
        GAP,
    ]
    if buffers:
        blocks += [buffer_table(answer), GAP]
    if host:
        from budget.render.host import host_screen

        blocks += [*host_screen(answer), GAP]
    blocks += [*_what_binds(answer, rows), *_what_fits(answer, max_ctx), *_what_to_do(answer, suggestions)]
    blocks += [Text(text, "warn") for text in what_to_give(answer)]
    notes = [Text(f"Note: {note}", "dim") for note in notes_of(answer)]
    blocks += [GAP, *notes] if notes and answer.failures else notes
    if verbose:
        blocks += [GAP, source_table(answer)]
    return blocks


def fit_rows(answer: Plan, *, name: str, max_ctx: int | None) -> list[dict[str, Any]]:
    """A row per device for CSV, with the names of `budget fit --json`."""
    n_ctx = answer.layout.params.n_ctx
    devices = [
        {key: value for key, value in device_object(device).items() if key != "basis"}
        for device in answer.devices
    ]
    return [
        {"model": name, "verdict": answer.verdict, "n_ctx": n_ctx} | row | {"max_ctx": max_ctx}
        for row in (*devices, *_pool_row(answer, devices))
    ]


def _pool_row(answer: Plan, devices: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The one pool of a combined budget as a row of CSV, like its row on the screen."""
    total = next((row for row in rows_of(answer) if row.name == TOTAL), None)
    if total is None:
        return []
    sums = {
        key: sum(d[key] for d in devices)
        for key in devices[0]
        if key.endswith("_bytes") and key != "available_bytes"
    }
    has = {"available_bytes": total.available, "fits": total.fits}
    return [{"name": TOTAL, "kind": None} | sums | has]


def question_lines(answer: Plan) -> tuple[str, str]:
    """What was asked: the model and its context, and the settings that matter, as llama.cpp resolves them."""
    params, model = answer.layout.params, answer.request.model
    slots = ""
    if params.n_seq_max > 1:
        slots = f", {params.n_seq_max} slots{' sharing it' if params.kv_unified else ''}"
    trained = f" of {format_count(model.n_ctx_train)} trained" if model.n_ctx_train else ""
    return (
        f"{model.architecture}, {layers_text(answer.request)}, context {format_count(params.n_ctx)}{trained}{slots}",
        f"K/V {params.type_k.name}/{params.type_v.name}, "
        f"flash attention {'on' if answer.layout.compute.flash_attn else 'off'}",
    )


def part_table(rows: Sequence[Row]) -> Table:
    """A row per device in GiB; where its columns do not fit, the small parts are one column `other`."""
    shown = [k for k in NAMES if k in _ALWAYS or any(r.parts[k] >= _VISIBLE_BYTES for r in rows)]
    narrow = _parts_table(rows, [k for k in shown if k in _NARROW], other=True)
    return _parts_table(rows, shown, narrow=narrow)


def _parts_table(
    rows: Sequence[Row], shown: Sequence[str], *, other: bool = False, narrow: Table | None = None
) -> Table:
    headers = ["GiB", *(NAMES[k] for k in shown), *(["other"] if other else []), "needs", "may use", "left"]
    return Table(headers, [_cells(row, shown, other=other) for row in rows], narrow=narrow)


def _cells(row: Row, shown: Sequence[str], *, other: bool) -> list[Cell]:
    cap = row.available
    available = gib(cap) if isinstance(cap, int) else "no limit" if unlimited(row) else "unknown"
    left = "-" if row.left_bytes is None else gib(row.left_bytes)
    style = "bad" if row.fits is False else ""
    parts = [row.parts[k] for k in shown]
    parts += [row.required_bytes - sum(parts)] if other else []
    return [
        row.name,
        *(gib(p) if p else "-" for p in parts),
        gib(row.required_bytes),
        available,
        (left, style),
    ]


def buffer_table(answer: Plan) -> Table:
    """A row per llama.cpp buffer."""
    rows = []
    for b in answer.layout.buffers:
        sizes = (b.weights_bytes, b.context_bytes, b.compute_bytes, b.output_bytes)
        rows.append([b.name, *(format_size(s) if s else "-" for s in sizes)])
    return Table(["buffer", "weights", "context", "compute", "output"], rows)


def _what_binds(answer: Plan, rows: tuple[Row, ...]) -> list[Block]:
    if answer.failures:
        return [Text(text, "bad") for text in shortfall_lines(answer.failures)]
    tightest = binding(rows)
    if tightest is None or tightest.left_bytes is None:
        return []
    return [Text(f"Tightest: {tightest.name}, {format_size(tightest.left_bytes)} left")]


def _what_fits(answer: Plan, max_ctx: int | None) -> list[Block]:
    if max_ctx is not None:
        of_those = " of those it was trained for" if beyond_trained(answer) else ""
        text = f"Largest context that fits{of_those}: {format_count(max_ctx)} tokens (-c {max_ctx})"
        return [Text(text, "bold" if answer.failures else "")]
    return [Text("No context fits with these settings.", "bad")] if answer.failures else []


def _what_to_do(answer: Plan, suggestions: Sequence[Mapping[str, Any]]) -> list[Block]:
    """One change a row: what to type, what it gains, what it costs; and who looks for several."""
    if not answer.failures or answer.request.described is not None or weights_alone(answer):
        return []
    several = Text("Several changes together may fit: budget advise looks for them.")
    if not suggestions:
        return [several]
    enough = [s for s in suggestions if s["fits"]]
    rows = [
        (
            (s["flag"], "good" if s["fits"] else ""),
            f"{format_size(s['gained_bytes'])} less on {s['device']}; costs {s['cost']}",
        )
        for s in enough or suggestions
    ]
    heading = "Any of these makes it fit:" if enough else "Not enough alone, but it helps:"
    table = Table((), rows, left=(0, 1), wrap=1, indent=2)
    return [GAP, Text(heading, "bold"), table, *([] if enough else [several])]


def source_table(answer: Plan) -> Table:
    """Where each number comes from (`-v`)."""
    rows = [
        [s.device, s.part, "-" if s.size_bytes is None else format_size(s.size_bytes), s.basis, s.text]
        for s in sources_of(answer)
    ]
    return Table(["device", "part", "size", "basis", "where it comes from"], rows, left=(0, 1, 3, 4), wrap=4)


def notes_of(answer: Plan) -> list[str]:
    """Which numbers are not exact, and what is not known, in sentences."""
    return [*_basis(answer), *plan_notes(answer)]


def _basis(answer: Plan) -> list[str]:
    """Which numbers are not exact."""
    parts_of: dict[str, list[str]] = {}
    for part, basis in (
        ("weights", answer.layout.weights_basis),
        ("context", answer.layout.context_basis),
        ("compute", answer.layout.compute.basis),
    ):
        if basis != "exact" and not (
            basis == "estimate" and part == "compute" and not _counts_compute(answer)
        ):
            parts_of.setdefault(basis, []).append(part)
    inexact = [_inexact(parts, basis) for basis, parts in parts_of.items()]
    if any(d.overhead_bytes and d.basis["overhead"] == "estimate" for d in answer.devices):
        inexact.append("the driver's own memory is an estimate (--overhead)")
    return ["; ".join(inexact)] if inexact else []


def _counts_compute(answer: Plan) -> bool:
    """Whether any compute buffer is counted: a model described by numbers may say nothing of them."""
    return any(d.compute_bytes for d in answer.devices)


def _inexact(parts: Sequence[str], basis: str) -> str:
    """`weights and context are estimates`."""
    several = len(parts) > 1
    names = f"{', '.join(parts[:-1])} and {parts[-1]}" if several else parts[0]
    verb = "are" if several or names == "weights" else "is"
    if basis == "estimate":
        return f"{names} {verb} {'estimates' if several else 'an estimate'}"
    what = "formulas that were" if several else "a formula that was"
    return f"{names} {verb} {what} not checked on this backend"
