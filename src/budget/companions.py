"""The files beside a model: those that its settings name, and the projector that its repository brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budget.errors import BudgetError
from budget.record import replace

if TYPE_CHECKING:
    from budget.gguf.header import Header
    from budget.memory.extra import Companion
    from budget.runtime.settings import Settings


def with_projector(settings: Settings, projector: str | None) -> Settings:
    """`settings` with the projector that `-hf` loads of itself (`--mmproj-auto`, which is on).

    Args:
        projector: what the model's source says lies beside it (`SourceInfo.projector`).
    """
    if projector is None or settings.mmproj is not None or not settings.mmproj_auto:
        return settings
    return replace(settings, mmproj=projector)


def open_companions(
    settings: Settings, known: dict[str, Header], *, use_cache: bool = True
) -> tuple[Companion, ...]:
    """The projector, adapters and draft model that `settings` name, with their headers.

    Args:
        known: headers read before, by path; those that are read now are added.
        use_cache: whether headers on disk may be used, and new ones kept.

    Raises:
        BudgetError: a file cannot be read; the message starts with the flag that names it.
    """
    if not (settings.mmproj or settings.lora or settings.control_vector or settings.model_draft):
        return ()
    from budget.memory.extras import blamed, companion_paths, read_companions

    for role, path in companion_paths(settings):
        if path not in known:
            try:
                known[path] = _open_header(path, use_cache=use_cache)
            except BudgetError as e:
                raise blamed(e, role, path) from e
    return read_companions(settings, known.__getitem__)


def _open_header(spec: str, *, use_cache: bool) -> Header:
    from budget.source import open_model

    try:
        return open_model(spec, use_cache=use_cache)[0]
    except BudgetError as e:
        hint = "check the path" if e.hint and "sample:" in e.hint else e.hint
        raise type(e)(e.message, hint=hint) from e
