"""`budget sweep`: one question over a grid of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from budget.cli.options import Question, question
from budget.cli.output import Output, exit_of_any
from budget.cli.parameters import Option
from budget.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from budget.planning.sweep import Sweep

_RANGE = "4k,8k or 4k..128k (doubling) or 8k..64k:8k (steps)"


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
    ngl: Annotated[str | None, _axis("--ngl", "VALUES", "Layers on GPUs: 0..33, 0..33:4, or all.")] = None,
    np: Annotated[str | None, _axis("--np", "VALUES", "Slots: 1,2,4 or 1..16.")] = None,
    ub: Annotated[str | None, _axis("--ub", "VALUES", "Micro-batches, tokens: 256..2048.")] = None,
    svg: Annotated[str | None, _axis("--svg", "FILE", "Write the plot as SVG.")] = None,
    png: Annotated[str | None, _axis("--png", "FILE", "Write the plot as PNG.")] = None,
    html: Annotated[str | None, _axis("--html", "FILE", "Write plot and table as one HTML file.")] = None,
) -> int:
    """Memory against context, K/V type, offloaded layers or slots: a table, a plot, the largest context marked.

    Exit code 0 if any point fits, 3 if none does.
    """
    from budget.planning.sweep import parse_axis, sweep

    given = {"ctx": ctx, "kv": kv, "ctk": ctk, "ctv": ctv, "ngl": ngl, "np": np, "ub": ub}
    axes = {name: parse_axis(name, text) for name, text in given.items() if text is not None}
    loaded = asked.load(asked.specs()[0])
    found = sweep(asked.request(loaded.model), axes)
    if not found.plans:
        from budget.render.sweep import problems

        raise UsageError(
            "; ".join(problems(found)) or "nothing to plan", hint="change what llama.cpp refuses"
        )
    _write_pictures(found, loaded.spec, svg=svg, png=png, html=html)
    from budget.render import sweep as render

    source = loaded.source
    out.show(
        data=lambda: render.sweep_object(found, path=source.location, file_bytes=source.file_bytes),
        screen=lambda: render.sweep_screen(found, name=loaded.spec),
        rows=lambda: render.sweep_rows(found),
    )
    return int(
        ExitCode.OK if any(s.max_ctx for s in found.series) else exit_of_any(p.verdict for p in found.plans)
    )


def _write_pictures(found: Sweep, name: str, *, svg: str | None, png: str | None, html: str | None) -> None:
    """Write what was asked for.

    Raises:
        UsageError: the plotting library is not installed, or a file cannot be written.
    """
    if svg is None and png is None and html is None:
        return
    from pathlib import Path

    from budget.render.figure import figure_html, figure_png, figure_svg

    for path, render in ((svg, figure_svg), (png, figure_png), (html, figure_html)):
        if path is None:
            continue
        try:
            Path(path).write_bytes(render(found, name))
        except OSError as e:
            raise UsageError(f"{path}: {e.strerror}", hint="name a file in a folder that is there") from e
