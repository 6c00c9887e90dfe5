"""The files that settings name beside the model: projector, adapters, draft model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budget.errors import BudgetError

if TYPE_CHECKING:
    from budget.gguf.header import Header
    from budget.memory.extra import Companion
    from budget.runtime.settings import Settings

_FLAGS = {"mmproj": "--mmproj", "lora": "--lora", "draft": "-md"}
"""Role of a companion to the flag that names it."""


def companions_of(settings: Settings, *, use_cache: bool) -> tuple[Companion, ...]:
    """What `settings` name beside the model, with their headers read."""
    if not (settings.mmproj or settings.lora or settings.control_vector or settings.model_draft):
        return ()
    from budget.memory.extras import companion_paths, read_companions

    flag_of = {path: _FLAGS[role] for role, path in companion_paths(settings)}
    return read_companions(settings, lambda path: _header(path, flag_of[path], use_cache=use_cache))


def _header(spec: str, flag: str, *, use_cache: bool) -> Header:
    """The header of `spec`; a mistake names `flag`."""
    from budget.source import open_model

    try:
        return open_model(spec, use_cache=use_cache)[0]
    except BudgetError as e:
        hint = "check the path" if e.hint and "sample:" in e.hint else e.hint
        raise type(e)(f"{flag} {e.message}", hint=hint) from e
