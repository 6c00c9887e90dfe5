"""Everything beside the main model, from the files that its settings name."""

from __future__ import annotations

from collections.abc import Callable

from budget.errors import BadModelError, BudgetError
from budget.gguf.header import Header
from budget.machine.device import Machine
from budget.memory import adapters, draft, projector
from budget.memory.extra import Companion, Extra, Role
from budget.memory.layout import Layout
from budget.model.facts import Model
from budget.model.read import read_model
from budget.runtime.settings import Settings

_FLAGS = {"mmproj": "--mmproj", "lora": "--lora", "draft": "-md"}


def companion_paths(settings: Settings) -> tuple[tuple[Role, str], ...]:
    """The further files whose headers a plan needs; control vectors need none."""
    result: list[tuple[Role, str]] = []
    if settings.mmproj:
        result.append(("mmproj", settings.mmproj))
    result += [("lora", path) for path in settings.lora]
    if settings.model_draft:
        result.append(("draft", settings.model_draft))
    return tuple(result)


def read_companions(settings: Settings, open_header: Callable[[str], Header]) -> tuple[Companion, ...]:
    """The companions of `settings`, each header read with `open_header`.

    Raises:
        BudgetError: what `open_header` raises.
    """
    return tuple(
        Companion(role=role, path=path, header=open_header(path)) for role, path in companion_paths(settings)
    )


def blamed(error: BudgetError, role: Role, path: str) -> BudgetError:
    """`error` of a further file with the flag that names it; a repository's projector with what leaves it away."""
    text = error.message if error.message.startswith(path) else f"{path}: {error.message}"
    if role == "mmproj" and path.startswith("hf://"):
        return type(error)(f"the projector {text}; --no-mmproj leaves it away", hint=error.hint)
    return type(error)(f"{_FLAGS[role]} {text}", hint=error.hint)


def missing(settings: Settings, companions: tuple[Companion, ...]) -> tuple[str, ...]:
    """Files that the settings name and nobody has read."""
    there = {(c.role, c.path) for c in companions}
    return tuple(path for role, path in companion_paths(settings) if (role, path) not in there)


def extras(
    model: Model, settings: Settings, machine: Machine, layout: Layout, companions: tuple[Companion, ...]
) -> tuple[Extra, ...]:
    """What the companions take on each device, beside `layout`.

    Raises:
        BadModelError: a companion that does not belong to the model.
        MachineError: a named device does not exist.
        UsageError: settings that llama.cpp refuses.
    """
    result: list[Extra] = []
    for companion in companions:
        try:
            result += _of(companion, model, settings, machine, layout)
        except BadModelError as e:
            raise blamed(e, companion.role, companion.path) from e
    if settings.control_vector:
        result += adapters.control_vector(model, settings, layout.placement)
    if "draft-mtp" in settings.spec_type and not settings.model_draft:
        result += draft.mtp(model, settings, layout)
    return tuple(result)


def _of(
    companion: Companion, model: Model, settings: Settings, machine: Machine, layout: Layout
) -> tuple[Extra, ...]:
    """What one companion takes."""
    header, path = companion.header, companion.path
    if companion.role == "mmproj":
        return tuple(projector.projector(header, settings, machine, path))
    if companion.role == "lora":
        return tuple(adapters.lora(model, layout.placement, header, path))
    return draft.draft(read_model(header), settings, machine, layout, model)
