"""The ledger file: read at any time, changed under a lock, never torn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from budget.errors import UsageError
from budget.planning import ledger as rules
from budget.planning.budget import Budget
from budget.planning.ledger import Admission, Ledger
from budget.planning.residents import Live, Resident
from budget.planning.usage import Usage

LOCK_SECONDS = 60.0
"""How long to wait for another admission; one takes milliseconds."""
POLL_SECONDS = (0.1, 0.2)
"""How long a waiting admission lets pass before it tries again: somewhere between, so that those who wait do not come
at once. Hundreds that try a hundred times a second leave no processor to who holds the lock."""
MAX_LEDGER_BYTES = 16 << 20
"""Largest file read: a hundred thousand residents."""


def read_ledger(path: Path) -> Ledger:
    """The ledger in `path`; empty where there is no such file.

    Needs no lock: the file is only ever replaced as a whole.

    Raises:
        UsageError: the file cannot be read, or is no ledger.
    """
    import json

    try:
        if path.stat().st_size > MAX_LEDGER_BYTES:
            raise UsageError(f"{path}: more than {MAX_LEDGER_BYTES:,} bytes, no ledger of budget")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Ledger()
    except (OSError, UnicodeDecodeError) as e:
        raise UsageError(f"{path}: cannot be read as a ledger: {e}") from e
    try:
        data = json.loads(text)
    except ValueError as e:
        raise UsageError(
            f"{path}: not JSON: {e}",
            hint="budget writes ledgers whole; move the file away to start a new one",
        ) from e
    return rules.from_object(data, where=str(path))


def admit(
    path: Path, resident: Resident, budget: Budget, *, replaces: str | None = None, live: Live | None = None,
    spare: Usage | None = None, timeout_s: float = LOCK_SECONDS,
) -> Admission:  # fmt: skip
    """Admit `resident` into the ledger at `path`, or refuse: of two at once, both only when both fit.

    Args:
        path: the ledger; made where it is missing. `path.lock` beside it is the lock.
        resident: the new claim.
        budget: caps that all claims together must keep.
        replaces: a resident that is unloaded for it.
        live: what processes hold now.
        spare: bytes per device to be left free beside all claims.
        timeout_s: how long to wait for the lock, seconds.

    Raises:
        UsageError: the ledger cannot be read or written, the name is taken, or the lock stays taken.
    """
    with _locked(path, timeout_s):
        answer = rules.admit(read_ledger(path), resident, budget, replaces=replaces, live=live, spare=spare)
        if answer.admitted:
            _write(path, answer.ledger)
        return answer


def release(path: Path, name: str, *, timeout_s: float = LOCK_SECONDS) -> Ledger:
    """Take the resident called `name` out of the ledger at `path`.

    Raises:
        UsageError: there is none, or the ledger cannot be read or written.
    """
    return _change(path, lambda ledger: rules.release(ledger, name), timeout_s)


def prune(
    path: Path, is_alive: Callable[[int], bool] | None = None, *, timeout_s: float = LOCK_SECONDS
) -> Ledger:
    """Take residents out of the ledger at `path` whose process has ended.

    Args:
        path: the ledger.
        is_alive: whether a process id is in use; psutil by default.
        timeout_s: how long to wait for the lock, seconds.
    """
    if is_alive is None:
        import psutil

        is_alive = psutil.pid_exists
    check = is_alive
    return _change(path, lambda ledger: rules.without_dead(ledger, check), timeout_s)


def _change(path: Path, change: Callable[[Ledger], Ledger], timeout_s: float) -> Ledger:
    with _locked(path, timeout_s):
        before = read_ledger(path)
        after = change(before)
        if after != before:
            _write(path, after)
        return after


@contextmanager
def _locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the ledger's lock; the system drops it with the process, however that ends."""
    from random import uniform

    from filelock import FileLock, Timeout

    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}", hint="make it first")
    lock = FileLock(f"{path}.lock", timeout=timeout_s)
    try:
        lock.acquire(poll_interval=uniform(*POLL_SECONDS))  # noqa: S311 (to spread tries, nothing secret)
    except Timeout as e:
        raise UsageError(
            f"{path}: another process held the lock for {timeout_s:g} s", hint=f"look who uses {path}.lock"
        ) from e
    except OSError as e:
        raise UsageError(
            f"{path}: cannot be locked: {e}", hint="the folder must exist and be writable"
        ) from e
    try:
        yield
    finally:
        lock.release()


def _write(path: Path, ledger: Ledger) -> None:
    """Replace the file as a whole: after a crash it holds the old ledger or the new one."""
    import json

    text = json.dumps(rules.to_object(ledger), indent=2, ensure_ascii=False) + "\n"
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as e:
        raise UsageError(f"{path}: cannot be written: {e}") from e


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where folders can be synchronised (not on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
