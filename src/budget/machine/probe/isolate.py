"""Readers of driver libraries, each in a process of its own with a time limit."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DRIVER_TIMEOUT_S = 15.0
"""Seconds a driver library may take. Loading CUDA on a host of eight cards takes 2 to 5; ollama's own
limit for the same question is 15 (discover, `nativeProbeTimeout`)."""

_KILL_WAIT_S = 1.0
_CODE = "import sys; sys.path[:] = sys.argv[3:]; from budget.machine.probe.child import main; main(*sys.argv[1:3])"


def ask_drivers(
    names: Sequence[str], root: Path = Path("/"), *, timeout_s: float = DRIVER_TIMEOUT_S
) -> dict[str, dict[str, Any] | str]:
    """What each reader of `child.py` reports: its JSON object, or one sentence why there is none.

    All run at the same time, so that the whole takes as long as the slowest.
    """
    return run_children({name: _command(name, root) for name in names}, timeout_s=timeout_s)


def _command(name: str, root: Path) -> list[str]:
    """Isolated from the environment's Python settings, with this process's own module path."""
    return [sys.executable, "-I", "-S", "-c", _CODE, name, str(root), *(path for path in sys.path if path)]


def run_children(
    commands: dict[str, list[str]], *, timeout_s: float = DRIVER_TIMEOUT_S
) -> dict[str, dict[str, Any] | str]:
    """Run every command, and read one JSON object from the standard output of each."""
    import subprocess

    deadline = time.monotonic() + timeout_s
    children: dict[str, subprocess.Popen[bytes]] = {}
    answers: dict[str, dict[str, Any] | str] = {}
    for name, command in commands.items():
        try:
            children[name] = subprocess.Popen(  # noqa: S603  (own interpreter or the program the user named)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environ(),
            )
        except OSError as error:
            answers[name] = f"cannot start a process to ask the driver: {error}"
    for name, child in children.items():
        answers[name] = _answer(child, max(0.05, deadline - time.monotonic()), timeout_s)
    return answers


def _environ() -> dict[str, str]:
    """The user's environment: the CUDA_ and ROCm variables in it decide what a driver shows."""
    return dict(os.environ)


def _answer(child: Any, wait_s: float, timeout_s: float) -> dict[str, Any] | str:
    import json
    import subprocess

    try:
        out, _ = child.communicate(timeout=wait_s)
    except subprocess.TimeoutExpired:
        _stop(child)
        return f"the driver did not answer within {timeout_s:g} s"
    if child.returncode != 0:
        return f"the driver's library crashed (exit {child.returncode})"
    try:
        report = json.loads(out)
    except ValueError:
        return "the driver's library wrote nothing that can be read"
    return report if isinstance(report, dict) else "the driver's library wrote nothing that can be read"


def _stop(child: Any) -> None:
    """Kill; a process that hangs inside the kernel cannot be waited for, so it is left to init."""
    import subprocess

    child.kill()
    try:
        child.wait(_KILL_WAIT_S)
    except subprocess.TimeoutExpired:
        child.returncode = -9  # keeps Popen from warning about a child that cannot be reaped
    child.stdout.close()
