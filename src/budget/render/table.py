"""The screen of `budget fit`: verdict first, a row per device, what binds."""

from __future__ import annotations

from budget.planning.fit import DevicePlan, Plan
from budget.render.plain import shortfall_lines, table, wrap
from budget.units import format_count, format_size

_VERDICT = {"fits": "FITS", "does_not_fit": "DOES NOT FIT", "unknown": "UNKNOWN"}


def fit_text(answer: Plan, *, name: str, max_ctx: int | None, buffers: bool) -> str:
    """The whole answer as text of at most 80 columns where the names allow it."""
    params, model = answer.layout.params, answer.request.model
    slots = ""
    if params.n_seq_max > 1:
        slots = f", {params.n_seq_max} slots{' sharing it' if params.kv_unified else ''}"
    lines = [
        f"{_VERDICT[answer.verdict]}: {name}",
        *wrap(
            f"{model.architecture}, {model.n_layer} layers, context {format_count(params.n_ctx)} of "
            f"{format_count(model.n_ctx_train)} trained{slots}, K/V {params.type_k.name}/{params.type_v.name}, "
            f"flash attention {'on' if answer.layout.compute.flash_attn else 'off'}",
        ),
        "",
        *table(
            ["device", "weights", "context", "compute", "other", "needs", "may use", ""],
            [_row(d) for d in answer.devices],
        ),
    ]
    if buffers:
        lines += ["", *_buffers(answer)]
    if answer.failures:
        lines.append("")
        for line in shortfall_lines(answer):
            lines += wrap(line)
    if max_ctx is not None:
        lines += ["", f"Largest context that fits: {format_count(max_ctx)} tokens (-c {max_ctx})"]
    elif answer.failures:
        lines += ["", "No context fits."]
    for note in (*_basis(answer), *answer.layout.notes, *answer.reasons):
        lines += wrap(f"Note: {note}")
    return "\n".join(lines)


def _row(device: DevicePlan) -> list[str]:
    other = device.output_bytes + device.overhead_bytes + device.reserve_bytes
    cap = device.available
    available = format_size(cap) if isinstance(cap, int) else "unknown" if cap is None else "unlimited"
    mark = {True: "ok", False: "SHORT", None: "?"}[device.fits]
    sizes = (device.weights_bytes, device.context_bytes, device.compute_bytes, other, device.required_bytes)
    return [device.name, *(format_size(s) if s else "-" for s in sizes), available, mark]


def _buffers(answer: Plan) -> list[str]:
    rows = []
    for b in answer.layout.buffers:
        sizes = (b.weights_bytes, b.context_bytes, b.compute_bytes, b.output_bytes)
        rows.append([b.name, *(format_size(s) if s else "-" for s in sizes)])
    return table(["buffer", "weights", "context", "compute", "output"], rows)


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
