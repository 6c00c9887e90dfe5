"""A llama.cpp on this machine: its log files, and its own answer to how much memory a load takes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from budget.errors import MachineError, UsageError

FIT_PROGRAM = "llama-fit-params"
"""The program of llama.cpp that prints memory without loading weights."""
FIT_TIMEOUT_S = 600.0
"""Seconds; it reads the header and makes a context on every card."""
LIMIT_BYTES = 1 << 28
"""A log larger than this is no log of a load."""

Run = Callable[[Sequence[str], float], str]


def read_log_file(path: str) -> str:
    """The text of a log.

    Raises:
        UsageError: it cannot be read, or is far too large.
    """
    file = Path(path)
    try:
        if file.stat().st_size > LIMIT_BYTES:
            raise UsageError(
                f"--log {path}: too large for a log of one load",
                hint="cut it to the part that loads the model",
            )
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as e:
        raise UsageError(
            f"--log {path}: {e.strerror or e}", hint="pass the file that llama-server wrote"
        ) from e


def find_fit_program(
    folder: str | None = None, *, which: Callable[[str], str | None] = shutil.which
) -> str | None:
    """Path of `llama-fit-params`, in `folder` or on the path; None where there is none."""
    if folder is None:
        return which(FIT_PROGRAM)
    found = [p for p in (Path(folder) / FIT_PROGRAM, Path(folder) / "bin" / FIT_PROGRAM) if p.is_file()]
    return str(found[0]) if found else None


def fit_print(program: str, arguments: Sequence[str], *, run: Run | None = None) -> str:
    """What `llama-fit-params ARGUMENTS --fit-print on` prints.

    Raises:
        MachineError: it cannot be run, fails, or takes too long.
    """
    return (run or _run)([program, *arguments, "--fit-print", "on"], FIT_TIMEOUT_S)


def _run(command: Sequence[str], timeout_s: float) -> str:
    try:
        done = subprocess.run(  # noqa: S603  the program is llama.cpp's, found or named by the user
            list(command), capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise MachineError(f"{command[0]}: {e}", hint="pass a log with --log instead") from e
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MachineError(
            f"{command[0]} failed with exit code {done.returncode}: {last}",
            hint="pass a log with --log instead",
        )
    return done.stdout
