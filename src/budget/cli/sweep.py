"""`budget sweep`: one question over a grid of settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from budget.cli.options import Question, question
from budget.cli.output import Output, exit_of_any
from budget.cli.parameters import Option
from budget.errors import BudgetError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

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
STDOUT = "-"


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
    _check_targets(targets, out, n_series(axes))
    loaded = asked.load(asked.specs()[0])
    request = asked.request(loaded.model)
    with ReadProgress("sweep", unit="points", quiet=out.quiet) as progress:
        found = sweep(request, axes, progress=progress.update)
    if not found.plans:
        raise UsageError(
            "; ".join(dict.fromkeys(text for s in found.series for text in s.problems)) or "nothing to plan",
            hint="change what llama.cpp refuses",
        )
    if not _write_pictures(found, loaded.spec, targets):
        _show(out, found, loaded)
    return int(exit_of_any(p.verdict for p in found.plans))


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
    if {series.outcome for series in found.series} != {"does_not_fit"}:
        return []
    from budget.planning.suggest import suggest, suggestion_object
    from budget.render.sweep import nearest

    answer = nearest(found)
    if answer is None:
        return []
    try:
        return [suggestion_object(s) for s in suggest(answer)]
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


def _check_targets(targets: Mapping[str, str], out: Output, n_lines: int) -> None:
    """Refuse pictures that cannot be written, before anything is planned.

    Raises:
        UsageError: a file that cannot be, one file for two pictures, or stdout for two things.
    """
    if not targets:
        return
    from pathlib import Path

    from budget.render.figure import check_lines, require_matplotlib

    forms: dict[str, str] = {}
    for form, path in targets.items():
        first = forms.setdefault(path if path == STDOUT else str(Path(path).absolute()), form)
        if first != form:
            raise UsageError(f"--{first} and --{form} both write {path}", hint="name a file for each")
        if not path:
            raise UsageError(f"--{form} '': no file", hint="name a file, or - for stdout")
        if path == STDOUT and out.is_given:
            raise UsageError(
                f"--{form} - and the answer as {out.form} both write to stdout",
                hint="name a file for one of them",
            )
        if path != STDOUT and not Path(path).parent.is_dir():
            raise UsageError(f"--{form} {path}: there is no folder {Path(path).parent}", hint="make it first")
        if path != STDOUT and Path(path).is_dir():
            raise UsageError(f"--{form} {path}: this is a folder", hint="name a file in it")
    if targets.get("png") == STDOUT and sys.stdout.isatty():
        raise UsageError("--png -: a picture on a terminal", hint="send it on: --png - > sweep.png")
    require_matplotlib()
    check_lines(n_lines)


def _write_pictures(found: Sweep, name: str, targets: Mapping[str, str]) -> bool:
    """Write what was asked for, all of it drawn before the first file is touched; whether stdout is taken.

    Raises:
        UsageError: a file cannot be written.
        BudgetError: the disk is full, or fails.
    """
    if not targets:
        return False
    from pathlib import Path

    from budget.render.figure import figure_html, figure_png, figure_svg

    draw: dict[str, Callable[[Sweep, str], bytes]] = {
        "svg": figure_svg,
        "png": figure_png,
        "html": figure_html,
    }
    drawn = {form: draw[form](found, name) for form in targets}
    for form, path in targets.items():
        if path == STDOUT:
            sys.stdout.flush()
            sys.stdout.buffer.write(drawn[form])
            continue
        try:
            _write_whole(Path(path), drawn[form])
        except OSError as e:
            raise _explained(form, path, e) from e
    return STDOUT in targets.values()


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or leave it as it was; a device or a pipe is written to."""
    import os

    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    temporary = path.with_name(f"{path.name[:200]}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _explained(form: str, path: str, e: OSError) -> BudgetError:
    """What the system says, and what helps against that."""
    import errno

    message = f"--{form} {path}: {e.strerror or e}"
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return BudgetError(message, hint="make room, or name a file on another disk")
    hints = {
        errno.EACCES: "name a file in a folder where you may write",
        errno.EPERM: "name a file in a folder where you may write",
        errno.EROFS: "name a file on a disk that can be written",
        errno.ENOENT: "name a file in a folder that is there",
        errno.ENOTDIR: "name a file in a folder that is there",
        errno.ENAMETOOLONG: "give it a shorter name",
    }
    return UsageError(message, hint=hints.get(e.errno or 0, "name another file"))
