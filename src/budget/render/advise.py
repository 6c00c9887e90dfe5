"""Advice as a line to paste, as a screen, and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from budget.planning.advise import Advice, Choice
from budget.planning.offload import gpu_weight_bytes
from budget.planning.parts import rows_of
from budget.planning.speed import Speed
from budget.render.fit import part_table
from budget.render.json import fit_object
from budget.render.screen import GAP, Block, Command, Text, Title
from budget.runtime.rendering import to_command_line
from budget.runtime.settings import Settings
from budget.units import format_count, format_size

_KEEP = frozenset({"n_ctx", "n_gpu_layers"})


def command_of(choice: Choice, model: str) -> list[str]:
    """The line that loads `model` as planned, as arguments."""
    return to_command_line(choice.plan.request.settings, model=model, keep=frozenset({"n_ctx"}))


def command_text(choice: Choice, model: str) -> str:
    """The same for a shell."""
    return shlex.join(command_of(choice, model))


def advise_screen(advice: Advice, *, model: str, servers: Sequence[str] = ()) -> list[Block]:
    """What starts each RPC server, the line, the table it leads to, what it costs, and the alternatives."""
    best = advice.best
    if best is None:
        known = advice.verdict != "unknown"
        title = Title("NOTHING FITS", "bad", model) if known else Title("UNKNOWN", "warn", model)
        return [title, *(Text(f"{text[0].upper()}{text[1:]}") for text in advice.notes)]
    blocks: list[Block] = [Command(server, "bold") for server in servers]
    blocks += [
        Command(command_text(best, model), "bold"),
        GAP,
        part_table(rows_of(best.plan)),
        GAP,
        *_said(best),
    ]
    if advice.alternatives:
        blocks += [GAP, Text("Alternatives:", "bold")]
    for choice in advice.alternatives:
        blocks += [GAP, Command(command_text(choice, model)), *_said(choice)]
    notes = [Text(f"Note: {note}", "dim") for note in advice.notes]
    return [*blocks, GAP, *notes] if notes else blocks


def advise_rows(advice: Advice, *, model: str) -> list[dict[str, Any]]:
    """A row per choice for CSV, the best one first."""
    choices = [] if advice.best is None else [advice.best, *advice.alternatives]
    return [
        {
            "command": command_text(choice, model),
            "n_ctx": choice.plan.layout.params.n_ctx,
            "type_k": choice.plan.layout.params.type_k.name,
            "type_v": choice.plan.layout.params.type_v.name,
            "gpu_weights_bytes": gpu_weight_bytes(choice.plan.layout),
            "tokens_per_second": choice.speed.tokens_per_second,
            "costs": "; ".join(choice.costs),
        }
        for choice in choices
    ]


def _said(choice: Choice) -> list[Block]:
    """What a choice is and what it costs."""
    params = choice.plan.layout.params
    what = (
        f"Context {format_count(params.n_ctx)}, K/V {params.type_k.name}/{params.type_v.name}"
        f"{_on_gpus(choice)}{_rate(choice.speed)}"
    )
    return [Text(what), *(Text(f"Costs {cost}") for cost in choice.costs)]


def _on_gpus(choice: Choice) -> str:
    layout = choice.plan.layout
    return f", {format_size(gpu_weight_bytes(layout))} of weights on GPUs" if layout.devices else ""


def _rate(speed: Speed) -> str:
    if speed.tokens_per_second is None:
        return ""
    prompt = ""
    if speed.prompt_tokens_per_second is not None:
        prompt = f", prompts at most {speed.prompt_tokens_per_second:,.0f}"
    filled = format_count(speed.n_filled)
    return f"; at most {speed.tokens_per_second:,.1f} tokens/s with {filled} in the cache{prompt} (estimate)"


def advise_object(
    advice: Advice, *, model: str, path: str, file_bytes: int | None, servers: Sequence[str] = ()
) -> dict[str, Any]:
    """`budget/advise/v1`; `command` and `settings` are null where nothing fits, `plan` then says what was asked."""
    best = advice.best
    answer = best.plan if best is not None else advice.asked
    return {
        "schema": "budget/advise/v1",
        "command": command_of(best, model) if best is not None else None,
        "settings": settings_of(best.plan.request.settings) if best is not None else None,
        "plan": fit_object(answer, path=path, file_bytes=file_bytes, max_ctx=None, suggestions=[]),
        "costs": list(best.costs) if best is not None else [],
        "speed": speed_object(best.speed) if best is not None else None,
        "alternatives": [
            {
                "command": command_of(choice, model),
                "settings": settings_of(choice.plan.request.settings),
                "plan": fit_object(
                    choice.plan, path=path, file_bytes=file_bytes, max_ctx=None, suggestions=[]
                ),
                "costs": list(choice.costs),
                "speed": speed_object(choice.speed),
            }
            for choice in advice.alternatives
        ],
        "ranked_by": advice.ranked_by,
        "notes": [*advice.notes, *servers],
    }


def settings_of(settings: Settings) -> dict[str, Any]:
    """Every setting that is not llama.cpp's default, and the context and the layers in any case."""
    default = Settings(tool=settings.tool)
    return {
        f.name: _plain(getattr(settings, f.name))
        for f in fields(Settings)
        if f.name in _KEEP or getattr(settings, f.name) != getattr(default, f.name)
    }


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def speed_object(speed: Speed) -> dict[str, Any]:
    """Upper bounds, null where a bandwidth is not known."""
    return {
        "basis": speed.basis,
        "tokens_per_second": speed.tokens_per_second,
        "prompt_tokens_per_second": speed.prompt_tokens_per_second,
        "n_filled": speed.n_filled,
        "read_bytes": dict(speed.read_bytes),
        "bus_bytes": speed.bus_bytes,
        "unknown": list(speed.unknown),
    }
