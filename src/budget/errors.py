"""Exit codes and the family of errors that carry them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class ExitCode(IntEnum):
    """What the process returns; scripts depend on these numbers."""

    OK = 0
    """It fits, or the command did what it says."""
    FAILED = 1
    """budget itself failed or was interrupted: never an answer."""
    USAGE = 2
    """A flag, value or input file that makes no sense."""
    DOES_NOT_FIT = 3
    BAD_MODEL = 4
    """The model file cannot be read: not GGUF, truncated, hostile, a shard missing."""
    NO_DEVICE = 5
    """The machine cannot be read, or a named device does not exist."""
    NETWORK = 6
    UNKNOWN = 7
    """No answer is possible; unknown never reads as fits."""


class BudgetError(Exception):
    """A problem the user can act on: what is wrong, and what to do next."""

    exit_code: ExitCode = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def at(self, where: str) -> Self:
        """The same problem with `where` in front: the option, the key or the file that it was found in."""
        return type(self)(f"{where}: {self.message}", hint=self.hint)


class UsageError(BudgetError):
    exit_code = ExitCode.USAGE


class BadModelError(BudgetError):
    exit_code = ExitCode.BAD_MODEL


class MachineError(BudgetError):
    exit_code = ExitCode.NO_DEVICE


class NetworkError(BudgetError):
    exit_code = ExitCode.NETWORK


class UnknownAnswerError(BudgetError):
    exit_code = ExitCode.UNKNOWN
