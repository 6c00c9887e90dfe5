"""`budget sweep`: one question over a grid of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from budget.cli.output import Output, exit_of_any
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.errors import BudgetError, UnknownAnswerError, UsageError

if TYPE_CHECKING:
    from budget.planning.axes import Value
    from budget.planning.grid import Sweep

_RANGE = "4k,8k, or 4k..128k (doubling), or 8k..64k:8k (steps)"
_FLAGS: Mapping[str, tuple[str, ...]] = {
    "ctx": ("-c", "--ctx-size", "--kv-unified-per-slot"),
    "ngl": ("-ngl", "--gpu-layers", "--n-gpu-layers"),
    "np": ("-np", "--parallel"),
    "ub": ("-ub", "--ubatch-size"),
    "ctk": ("-ctk", "--cache-type-k"),
    "ctv": ("-ctv", "--cache-type-v"),
    "kv": ("-ctk", "--cache-type-k", "-ctv", "--cache-type-v"),
}
"""Axis to llama.cpp's own flags for what it sweeps."""


def _axis(option: str, metavar: str, help: str) -> object:
    return Option(option, metavar=metavar, show_default=False, help=help)


@question(models="one")
def command(
    asked: Question,
    out: Output,
    ctx: Annotated[str | None, _axis("--ctx", "VALUES", f"Total contexts: {_RANGE}.")] = None,
    kv: Annotated[str | None, _axis("--kv", "TYPES", "Types of K and V together, such as f16,q8_0.")] = None,
    ctk: Annotated[str | None, _axis("--ctk", "TYPES", "Types of the K cache.")] = None,
    ctv: Annotated[str | None, _axis("--ctv", "TYPES", "Types of the V cache.")] = None,
    ngl: Annotated[
        str | None,
        _axis("--ngl", "VALUES", "Layers on GPUs: 0,16,all, or 0..33 (about 12 steps), or 0..33:4."),
    ] = None,
    np: Annotated[
        str | None, _axis("--np", "VALUES", "Slots: 1,2,4, or 1..16 (doubling), or 1..16:1 (steps).")
    ] = None,
    ub: Annotated[
        str | None,
        _axis("--ub", "VALUES", "Micro-batches, tokens: 256,512, or 256..2048 (doubling), or 256..1024:256."),
    ] = None,
    svg: Annotated[str | None, _axis("--svg", "FILE", "Write the plot as SVG; - is stdout, alone.")] = None,
    png: Annotated[str | None, _axis("--png", "FILE", "Write the plot as PNG.")] = None,
    html: Annotated[
        str | None,
        _axis("--html", "FILE", "Write plots and tables as one HTML file, which needs no network."),
    ] = None,
) -> int:
    """Memory against context, K/V type, offloaded layers or slots: a table, a plot, the largest context marked.

    An axis takes at most 64 values, a grid 2048 points on 64 lines. Exit code 0 if any point fits, 3 if none does.
    """
    from budget.cli.pictures import check_targets, write_pictures
    from budget.planning.axes import check_axes, n_series
    from budget.planning.axis_values import parse_axis
    from budget.planning.sweep import sweep
    from budget.source.progress import ReadProgress

    given = {"ctx": ctx, "kv": kv, "ctk": ctk, "ctv": ctv, "ngl": ngl, "np": np, "ub": ub}
    axes = {name: parse_axis(name, text) for name, text in given.items() if text is not None}
    check_axes(axes)
    _refuse_given_twice(asked, axes)
    pictures = {"svg": svg, "png": png, "html": html}
    targets = {form: path for form, path in pictures.items() if path is not None}
    check_targets(targets, out, n_series(axes))
    loaded = asked.load(asked.specs()[0])
    request = asked.request(loaded.model)
    with ReadProgress("sweep", unit="points", quiet=out.quiet) as progress:
        found = sweep(request, axes, progress=progress.update)
    if not found.plans:
        raise _no_plan(found)
    if not write_pictures(found, loaded.spec, targets):
        _show(out, found, loaded)
    return int(exit_of_any(p.verdict for p in found.points if not p.is_refused))


def _no_plan(found: Sweep) -> BudgetError:
    """Why not a single point could be planned."""
    text = "; ".join(dict.fromkeys(text for s in found.series for text in s.problems)) or "nothing to plan"
    if found.outcomes == {"refused"}:
        return UsageError(text, hint="change what llama.cpp refuses")
    return UnknownAnswerError(text, hint="describe the machine with --machine or --gpu")


def _show(out: Output, found: Sweep, loaded: Any) -> None:
    """Print the answer."""
    from budget.render.sweep import sweep_screen
    from budget.render.sweep_data import sweep_object, sweep_rows

    source = loaded.source
    out.show(
        data=lambda: sweep_object(found, path=source.location, file_bytes=source.file_bytes),
        screen=lambda: sweep_screen(found, name=loaded.spec, suggestions=_suggestions(found)),
        rows=lambda: sweep_rows(found),
    )


def _suggestions(found: Sweep) -> list[dict[str, Any]]:
    """Where nothing fits, what would make the point that comes closest fit."""
    if found.outcomes != {"does_not_fit"} or found.nearest is None:
        return []
    from budget.planning.suggest import suggest, suggestion_object

    try:
        return [suggestion_object(s) for s in suggest(found.nearest)]
    except BudgetError:
        return []


def _refuse_given_twice(asked: Question, axes: Mapping[str, tuple[Value, ...]]) -> None:
    """One setting as an axis and as a flag: which of them was meant is not for budget to say.

    Raises:
        UsageError: an axis sweeps what a flag sets.
    """
    words = [*(asked.values.get("settings_args") or ()), *asked.line]
    spelled = {word.partition("=")[0] for word in words if word.startswith("-")}
    for axis in axes:
        flag = next((flag for flag in _FLAGS[axis] if flag in spelled), None)
        if flag is not None:
            raise UsageError(
                f"--{axis} sweeps what {flag} sets",
                hint=f"leave {flag} away, or leave --{axis} away and keep its one value",
            )
