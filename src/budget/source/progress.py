"""A progress bar on stderr, for people, once something takes longer than a second."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

PATIENCE_S = 1.0
"""Nothing is shown before."""


class ReadProgress:
    """Counts towards a total that may grow; draws only on a terminal."""

    def __init__(
        self, label: str, *, unit: str = "bytes", quiet: bool = False, stream: TextIO | None = None
    ) -> None:  # fmt: skip
        self.label = label
        self.unit = unit
        self.stream = stream or sys.stderr
        self._shown = not quiet and self.stream.isatty()
        self._start_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> ReadProgress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """Show `done` of `total`, bytes or things."""
        if self._bar is None:
            if not self._shown or time.monotonic() - self._start_s < PATIENCE_S:
                return
            self._open()
        self._bar.update(self._task, completed=done, total=total)

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

        count = DownloadColumn(binary_units=True) if self.unit == "bytes" else MofNCompleteColumn()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), count,
            console=Console(file=self.stream), transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task(self.label, total=None)
        self._bar.start()
