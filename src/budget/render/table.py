"""The screen of `budget fit`: verdict first, a bar per device, the numbers, what binds, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from budget.planning.fit import Plan
from budget.planning.parts import Row, binding, rows_of, unlimited
from budget.planning.sources import sources_of
from budget.planning.summary import notes_of as plan_notes
from budget.render.bars import NAMES, bars, gib
from budget.render.lines import Line, Look, plain, text_table, to_text, wrapped
from budget.render.plain import shortfall_lines, wrap
from budget.units import format_count, format_size

VERDICT = {"fits": "FITS", "does_not_fit": "DOES NOT FIT", "unknown": "UNKNOWN"}
VERDICT_STYLE = {"fits": "good", "does_not_fit": "bad", "unknown": "warn"}
_ALWAYS = ("weights", "kv", "compute", "overhead")
"""Parts that have a column even where nothing takes it."""
_MAX_FLAG = 36
"""Columns of what to type; longer flags have a line of their own."""
_VISIBLE_BYTES = 5 << 20
"""A part smaller than this on every device rounds to nothing in GiB and gets no column of its own."""


def fit_text(
    answer: Plan,
    *,
    name: str,
    max_ctx: int | None,
    buffers: bool,
    suggestions: Sequence[Mapping[str, Any]] = (),
    look: Look | None = None,
) -> str:
    """The whole answer as plain text."""
    return to_text(
        fit_lines(
            answer,
            name=name,
            max_ctx=max_ctx,
            buffers=buffers,
            suggestions=suggestions,
            look=look or Look(),
        )
    )


def fit_lines(
    answer: Plan,
    *,
    name: str,
    max_ctx: int | None,
    buffers: bool,
    look: Look,
    suggestions: Sequence[Mapping[str, Any]] = (),
    verbose: bool = False,
    host: bool = False,
) -> list[Line]:
    """The whole answer, in lines of at most `look.width` columns where the names allow it."""
    rows = rows_of(answer)
    lines: list[Line] = [
        ((VERDICT[answer.verdict], VERDICT_STYLE[answer.verdict]), (f": {name}", "bold")),
        *wrapped(question_line(answer), look),
        plain(""),
        *bars(rows, look),
        plain(""),
        *text_table(*part_table(rows, look.width)),
    ]
    if buffers:
        lines += [plain(""), *_buffers(answer)]
    if host:
        from budget.render.host import host_lines

        lines += [plain(""), *host_lines(answer)]
    lines += [plain(""), *_what_binds(answer, rows, look), *_what_fits(answer, max_ctx, look)]
    lines += _what_to_do(suggestions, look)
    for note in notes_of(answer):
        lines += wrapped(f"Note: {note}", look, "dim")
    if verbose:
        lines += [plain(""), *source_lines(answer, look)]
    return lines


def question_line(answer: Plan) -> str:
    """What was asked: the model and the settings that matter, as llama.cpp resolves them."""
    params, model = answer.layout.params, answer.request.model
    slots = ""
    if params.n_seq_max > 1:
        slots = f", {params.n_seq_max} slots{' sharing it' if params.kv_unified else ''}"
    trained = f" of {format_count(model.n_ctx_train)} trained" if model.n_ctx_train else ""
    return (
        f"{model.architecture}, {model.n_layer} layers, context {format_count(params.n_ctx)}{trained}"
        f"{slots}, K/V {params.type_k.name}/{params.type_v.name}, "
        f"flash attention {'on' if answer.layout.compute.flash_attn else 'off'}"
    )


def part_table(rows: Sequence[Row], width: int) -> tuple[list[str], list[list[str]]]:
    """Headers and rows in GiB; where columns do not fit, the small parts are one column `other`."""
    shown = [k for k in NAMES if k in _ALWAYS or any(r.parts[k] >= _VISIBLE_BYTES for r in rows)]
    if 2 + 9 * (len(shown) + 3) + max(len(r.name) for r in rows) > width:
        shown = [k for k in shown if k in ("weights", "kv", "state", "compute")]
    merged = len(shown) < len(_ALWAYS) or "overhead" not in shown
    headers = [
        "GiB",
        *(NAMES[k] for k in shown),
        *(["other"] if merged else []),
        "needs",
        "may use",
        "left",
    ]
    return headers, [_cells(row, shown, merged=merged) for row in rows]


def _cells(row: Row, shown: Sequence[str], *, merged: bool) -> list[str]:
    cap = row.available
    available = gib(cap) if isinstance(cap, int) else "no limit" if unlimited(row) else "unknown"
    left = "-" if row.left_bytes is None else gib(row.left_bytes)
    parts = [row.parts[k] for k in shown]
    parts += [row.required_bytes - sum(parts)] if merged else []
    return [row.name, *(gib(p) if p else "-" for p in parts), gib(row.required_bytes), available, left]


def buffer_table(answer: Plan) -> tuple[list[str], list[list[str]]]:
    """Headers and a row per llama.cpp buffer."""
    rows = []
    for b in answer.layout.buffers:
        sizes = (b.weights_bytes, b.context_bytes, b.compute_bytes, b.output_bytes)
        rows.append([b.name, *(format_size(s) if s else "-" for s in sizes)])
    return ["buffer", "weights", "context", "compute", "output"], rows


def _buffers(answer: Plan) -> list[Line]:
    return text_table(*buffer_table(answer))


def _what_binds(answer: Plan, rows: tuple[Row, ...], look: Look) -> list[Line]:
    if answer.failures:
        return [line for text in shortfall_lines(answer) for line in wrapped(text, look, "bad")]
    tightest = binding(rows)
    if tightest is None or tightest.left_bytes is None:
        return []
    return [plain(f"Tightest: {tightest.name}, {format_size(tightest.left_bytes)} left")]


def _what_fits(answer: Plan, max_ctx: int | None, look: Look) -> list[Line]:
    if max_ctx is not None:
        text = f"Largest context that fits: {format_count(max_ctx)} tokens (-c {max_ctx})"
        return wrapped(text, look, "bold" if answer.failures else "")
    return [plain("No context fits.", "bad")] if answer.failures else []


def _what_to_do(suggestions: Sequence[Mapping[str, Any]], look: Look) -> list[Line]:
    """One change a line: what to type, what it gains, what it costs."""
    if not suggestions:
        return []
    enough = any(s["fits"] for s in suggestions)
    width = min(_MAX_FLAG, max(len(s["flag"]) for s in suggestions))
    lines: list[Line] = [plain("")]
    lines.append(plain("Any of these makes it fit:" if enough else "Not enough alone, but it helps:", "bold"))
    for suggestion in suggestions:
        gain = f"{format_size(suggestion['gained_bytes'])} less on {suggestion['device']}"
        first, *more = wrap(f"{gain}; costs {suggestion['cost']}", max(30, look.width - width - 4))
        flag = suggestion["flag"]
        head: Line = ((f"  {flag.ljust(width)}  ", "good" if suggestion["fits"] else ""),)
        lines += (
            [(*head, (first, ""))] if len(flag) <= width else [head, plain(f"{' ' * (width + 4)}{first}")]
        )
        lines += [plain(f"{' ' * (width + 4)}{text}") for text in more]
    return lines


def source_lines(answer: Plan, look: Look) -> list[Line]:
    """Where each number comes from (`-v`)."""
    lines: list[Line] = []
    for source in sources_of(answer):
        size = "unknown" if source.size_bytes is None else format_size(source.size_bytes)
        what = f"{source.device} {source.part} {size}, {source.basis}: {source.text}"
        lines += wrapped(what, look)
    return lines


def notes_of(answer: Plan) -> list[str]:
    """Which numbers are not exact, and what is not known, in sentences."""
    return [*_basis(answer), *plan_notes(answer)]


def _basis(answer: Plan) -> list[str]:
    """Which numbers are not exact."""
    inexact = [
        f"{part} is {basis if basis != 'formula' else 'a formula that was not checked on this backend'}"
        for part, basis in (
            ("weights", answer.layout.weights_basis),
            ("context", answer.layout.context_basis),
            ("compute", answer.layout.compute.basis),
        )
        if basis != "exact"
    ]
    if any(d.overhead_bytes and d.basis["overhead"] == "estimate" for d in answer.devices):
        inexact.append("the driver's own memory is an estimate (--overhead)")
    return ["; ".join(inexact)] if inexact else []
