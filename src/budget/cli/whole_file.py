"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from budget.errors import BudgetError, UsageError

_HINTS = {
    errno.EACCES: "name a file in a folder where you may write",
    errno.EPERM: "name a file in a folder where you may write",
    errno.EROFS: "name a file on a disk that can be written",
    errno.ENOENT: "name a file in a folder that is there",
    errno.ENOTDIR: "name a file in a folder that is there",
    errno.ENAMETOOLONG: "give it a shorter name",
}
"""What helps where a file cannot be written."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or leave it as it was; a device or a pipe is written to."""
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


def explained(option: str, path: str, e: OSError) -> BudgetError:
    """What the system says of the file that `option` names, and what helps against that."""
    message = f"{option} {path}: {e.strerror or e}"
    if e.errno in (errno.ENOSPC, errno.EDQUOT):
        return BudgetError(message, hint="make room, or name a file on another disk")
    return UsageError(message, hint=_HINTS.get(e.errno or 0, "name another file"))
