"""budget.toml: where it is, and what it holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from budget.errors import UsageError
from budget.planning.config import Config, Raw, resolve_config

FILE_NAME = "budget.toml"
MAX_CONFIG_BYTES = 1 << 20
"""Largest file read: a configuration is a few lines."""


def config_path(env: Mapping[str, str], *, home: Path) -> Path:
    """Where budget.toml is: in `budget` below `$XDG_CONFIG_HOME`, on Windows `%APPDATA%`, else `~/.config`."""
    folder = env.get("XDG_CONFIG_HOME") or env.get("APPDATA")
    return (Path(folder) if folder else home / ".config") / "budget" / FILE_NAME


def read_config(path: Path) -> dict[str, object]:
    """What `path` holds, not checked yet.

    Raises:
        UsageError: the file cannot be read, or is not TOML.
    """
    import tomllib

    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UsageError(f"{path}: more than {MAX_CONFIG_BYTES:,} bytes, no configuration")
        with path.open("rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise UsageError(f"{path}: not TOML: {e}", hint='such as: max_resident = "20GiB"') from e
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror or e}") from e


def load_config(
    *,
    flags: Mapping[str, Raw | None] | None = None,
    env: Mapping[str, str] | None = None,
    path: Path | None = None,
    home: Path | None = None,
) -> Config:
    """Every option, from flags, environment, file and defaults.

    Args:
        flags: option name to what was given on the command line.
        env: environment variables.
        path: the file named with `--config`, which must exist; None looks in the usual place.
        home: the user's folder; the system's by default.

    Raises:
        UsageError: a value that makes no sense, an unknown key, or a file that is not TOML.
    """
    env = env or {}
    found = path or config_path(env, home=home or Path.home())
    if path is None and not found.is_file():
        return resolve_config(flags=flags, env=env)
    return resolve_config(flags=flags, env=env, file=read_config(found), file_name=str(found))
