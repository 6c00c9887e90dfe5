"""Capacity planning for llama.cpp: what a GGUF model takes, on which device, before it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from budget.api import admit as admit
    from budget.api import evict as evict
    from budget.api import fit as fit
    from budget.api import max_context as max_context
    from budget.api import plan as plan
    from budget.api import read as read
    from budget.api import request as request
    from budget.api import settings_of as settings_of
    from budget.api import this_machine as this_machine
    from budget.errors import BadModelError as BadModelError
    from budget.errors import BudgetError as BudgetError
    from budget.errors import ExitCode as ExitCode
    from budget.errors import MachineError as MachineError
    from budget.errors import NetworkError as NetworkError
    from budget.errors import UnknownAnswerError as UnknownAnswerError
    from budget.errors import UsageError as UsageError
    from budget.machine.device import Device as Device
    from budget.machine.device import Host as Host
    from budget.machine.device import Machine as Machine
    from budget.model.facts import Model as Model
    from budget.planning.budget import UNLIMITED as UNLIMITED
    from budget.planning.budget import Budget as Budget
    from budget.planning.budget import resolve_budget as resolve_budget
    from budget.planning.capacity import Capacity as Capacity
    from budget.planning.capacity import capacity_of as capacity_of
    from budget.planning.capacity import resolve_capacity as resolve_capacity
    from budget.planning.ceiling import AutoContext as AutoContext
    from budget.planning.ceiling import ContextCeiling as ContextCeiling
    from budget.planning.ceiling import auto_context as auto_context
    from budget.planning.ceiling import ceiling_of as ceiling_of
    from budget.planning.ceiling import context_ceiling as context_ceiling
    from budget.planning.curve import Curve as Curve
    from budget.planning.described import Described as Described
    from budget.planning.described import describe_model as describe_model
    from budget.planning.evict import Eviction as Eviction
    from budget.planning.fit import DevicePlan as DevicePlan
    from budget.planning.fit import Plan as Plan
    from budget.planning.fit import Request as Request
    from budget.planning.ledger import Admission as Admission
    from budget.planning.ledger import Ledger as Ledger
    from budget.planning.policy import Policy as Policy
    from budget.planning.policy import apply_policy as apply_policy
    from budget.planning.profile import MemoryProfile as MemoryProfile
    from budget.planning.profile import memory_profile as memory_profile
    from budget.planning.quant import Quant as Quant
    from budget.planning.quant import quant_named as quant_named
    from budget.planning.request import RequestBudget as RequestBudget
    from budget.planning.request import request_budget as request_budget
    from budget.planning.residents import Fleet as Fleet
    from budget.planning.residents import Resident as Resident
    from budget.planning.residents import fit_together as fit_together
    from budget.planning.summary import one_line as one_line
    from budget.planning.usage import Shortfall as Shortfall
    from budget.planning.usage import add_usage as add_usage
    from budget.planning.usage import check as check
    from budget.runtime.settings import Settings as Settings
    from budget.store.config import load_config as load_config
    from budget.store.ledger import read_ledger as read_ledger
    from budget.units import format_size as format_size
    from budget.units import parse_size as parse_size

_HOME = {
    "api": "admit evict fit max_context plan read request settings_of this_machine",
    "errors": "BadModelError BudgetError ExitCode MachineError NetworkError UnknownAnswerError UsageError",
    "machine.device": "Device Host Machine",
    "model.facts": "Model",
    "planning.budget": "UNLIMITED Budget resolve_budget",
    "planning.capacity": "Capacity capacity_of resolve_capacity",
    "planning.ceiling": "AutoContext ContextCeiling auto_context ceiling_of context_ceiling",
    "planning.curve": "Curve",
    "planning.described": "Described describe_model",
    "planning.evict": "Eviction",
    "planning.fit": "DevicePlan Plan Request",
    "planning.ledger": "Admission Ledger",
    "planning.policy": "Policy apply_policy",
    "planning.profile": "MemoryProfile memory_profile",
    "planning.quant": "Quant quant_named",
    "planning.request": "RequestBudget request_budget",
    "planning.residents": "Fleet Resident fit_together",
    "planning.summary": "one_line",
    "planning.usage": "Shortfall add_usage check",
    "runtime.settings": "Settings",
    "store.config": "load_config",
    "store.ledger": "read_ledger",
    "units": "format_size parse_size",
}
"""Module to the public names it holds: each is imported when it is first used, so that `import budget` is cheap."""
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "__version__",
    "Admission",
    "AutoContext",
    "BadModelError",
    "Budget",
    "BudgetError",
    "Capacity",
    "ContextCeiling",
    "Curve",
    "Described",
    "Device",
    "DevicePlan",
    "Eviction",
    "ExitCode",
    "Fleet",
    "Host",
    "Ledger",
    "Machine",
    "MachineError",
    "MemoryProfile",
    "Model",
    "NetworkError",
    "Plan",
    "Policy",
    "Quant",
    "Request",
    "RequestBudget",
    "Resident",
    "Settings",
    "Shortfall",
    "UNLIMITED",
    "UnknownAnswerError",
    "UsageError",
    "add_usage",
    "admit",
    "apply_policy",
    "auto_context",
    "capacity_of",
    "ceiling_of",
    "check",
    "context_ceiling",
    "describe_model",
    "evict",
    "fit",
    "fit_together",
    "format_size",
    "load_config",
    "max_context",
    "memory_profile",
    "one_line",
    "parse_size",
    "plan",
    "quant_named",
    "read",
    "read_ledger",
    "request",
    "request_budget",
    "resolve_budget",
    "resolve_capacity",
    "settings_of",
    "this_machine",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'budget' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"budget.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
