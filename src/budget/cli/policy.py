"""What may be used: budget.toml, the environment, and the policy and residents that options name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from budget.cli.values import given, overhead_of, reserve_of
from budget.errors import BudgetError

if TYPE_CHECKING:
    from budget.machine.device import Machine
    from budget.planning.budget import Budget
    from budget.planning.config import Config
    from budget.planning.fit import Request
    from budget.planning.residents import Resident

_NAMES = (
    "budget",
    "overhead",
    "reserve",
    "max_resident",
    "headroom",
    "host_cold",
    "min_hot_context",
    "ledger",
)


def config_of(values: dict[str, Any]) -> Config | None:
    """Every option with its origin; None where nothing but defaults and the three common flags is in play."""
    path = values.get("config")
    given = {name: values[name] for name in _NAMES if values.get(name) is not None}
    plain = not set(given) - {"budget", "overhead", "reserve"}
    if path is None and plain and not _elsewhere():
        return None
    from budget.store.config import load_config

    return load_config(flags=given, env=os.environ, path=None if path is None else Path(path))


def _elsewhere() -> bool:
    """Whether the environment or a file may hold options; asked without importing anything for it."""
    if any(name.startswith("BUDGET_") for name in os.environ):
        return True
    folder = (
        os.environ.get("XDG_CONFIG_HOME") or os.environ.get("APPDATA") or str(Path("~/.config").expanduser())
    )
    return (Path(folder) / "budget" / "budget.toml").is_file()


def limits_of(values: dict[str, Any], config: Config | None) -> tuple[Any, int | None, int]:
    """Budget as it is written, overhead and reserve in bytes; an overhead of None is estimated."""
    if config is None:
        return given(values, "budget", "auto"), overhead_of(values), reserve_of(values)
    overhead, reserve = config.value("overhead"), config.value("reserve")
    return (
        config.value("budget"),
        None if overhead == "auto" else overhead,
        reserve if isinstance(reserve, int) else 0,
    )


def resolved_budget(text: Any, machine: Machine, config: Config | None) -> Budget:
    """The budget that `text` means; a mistake names the variable or the file that `text` comes from."""
    from budget.planning.budget import resolve_budget

    try:
        return resolve_budget(text, machine)
    except BudgetError as e:
        setting = config.settings["budget"] if config is not None else None
        if setting is None or setting.origin not in ("environment", "file"):
            raise
        where = setting.where if setting.origin == "environment" else f"{setting.where}: budget"
        raise type(e)(e.message.replace("--budget", where, 1), hint=e.hint) from e


def under_policy(request: Request, config: Config | None) -> Request:
    """`request` with the caps that the policy lowers."""
    if config is None:
        return request
    from budget.planning.policy import Policy, apply_policy

    policy = config.policy
    unchanged = Policy(reserve=policy.reserve) == policy and isinstance(policy.reserve, int)
    return request if unchanged else apply_policy(request, policy)


def residents_of(values: dict[str, Any], machine: Machine, config: Config | None) -> tuple[Resident, ...]:
    """What is loaded already: `--resident`, and the ledger."""
    named = values.get("resident") or []
    ledger = values.get("ledger") or (config.value("ledger") if config is not None else None)
    if not named and not ledger:
        return ()
    from budget.planning.residents import parse_resident

    residents = tuple(parse_resident(text, machine) for text in named)
    if ledger:
        from budget.planning.usage import check_devices
        from budget.store.ledger import read_ledger

        there = read_ledger(Path(ledger)).residents
        check_devices(((r.name, r.usage) for r in there), machine)
        residents = (*residents, *there)
    return residents


def counted(request: Request, residents: tuple[Resident, ...], *, without: list[str]) -> Request:
    """`request` beside `residents`, those named in `without` unloaded first."""
    if not residents and not without:
        return request
    from budget.planning.residents import beside

    return beside(request, residents, without=without)
