"""Where the pictures of a sweep go: checked before anything is planned, written once all of them are drawn."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from budget.cli.output import Output
from budget.cli.whole_file import explained, write_whole
from budget.errors import UsageError

if TYPE_CHECKING:
    from budget.planning.grid import Sweep

STDOUT = "-"


def check_targets(targets: Mapping[str, str], out: Output, n_lines: int) -> None:
    """Refuse pictures that cannot be written, before anything is planned.

    Args:
        targets: `svg`, `png` or `html` to a file, or to `-` for stdout.
        n_lines: lines that a picture would have.

    Raises:
        UsageError: a file that cannot be, one file for two pictures, or stdout for two things.
    """
    if not targets:
        return
    import logging

    from budget.render.figure import check_lines, require_matplotlib

    forms: dict[str, str] = {}
    for form, path in targets.items():
        first = forms.setdefault(path if path == STDOUT else str(Path(path).absolute()), form)
        if first != form:
            raise UsageError(f"--{first} and --{form} both write {path}", hint="name a file for each")
        if path == STDOUT:
            _check_stdout(form, out)
        else:
            _check_file(form, path)
    # what it says of its caches and fonts is for who plots by hand
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    require_matplotlib()
    check_lines(n_lines)


def _check_stdout(form: str, out: Output) -> None:
    if out.is_given:
        raise UsageError(
            f"--{form} - and the answer as {out.form} both write to stdout",
            hint="name a file for one of them",
        )
    if form == "png" and sys.stdout.isatty():
        raise UsageError("--png -: a picture on a terminal", hint="send it on: --png - > sweep.png")


def _check_file(form: str, path: str) -> None:
    if not path:
        raise UsageError(f"--{form} '': no file", hint="name a file, or - for stdout")
    try:
        is_folder, has_parent = Path(path).is_dir(), Path(path).parent.is_dir()
    except OSError as e:  # a name that no file can have
        raise explained(f"--{form}", path, e) from e
    if not has_parent:
        raise UsageError(f"--{form} {path}: there is no folder {Path(path).parent}", hint="make it first")
    if is_folder:
        raise UsageError(f"--{form} {path}: this is a folder", hint="name a file in it")


def write_pictures(found: Sweep, name: str, targets: Mapping[str, str]) -> bool:
    """Write what was asked for, all of it drawn before the first file is touched; whether stdout is taken.

    Raises:
        UsageError: a file cannot be written.
        BudgetError: the disk is full, or fails.
    """
    drawn = {form: _drawn(found, name, form) for form in targets}
    for form, path in targets.items():
        if path == STDOUT:
            sys.stdout.flush()
            sys.stdout.buffer.write(drawn[form])
            continue
        try:
            write_whole(Path(path), drawn[form])
        except OSError as e:
            raise explained(f"--{form}", path, e) from e
    return STDOUT in targets.values()


def _drawn(found: Sweep, name: str, form: str) -> bytes:
    from budget.render.figure import picture
    from budget.render.page import page

    return page(found, name) if form == "html" else picture(found, name, form)
