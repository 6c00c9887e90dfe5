"""What one change would make a plan fit, or come closest to it; every one verified by a full plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from budget.errors import BudgetError
from budget.memory.layout import HOST
from budget.planning.fit import Plan, Request, plan
from budget.planning.longest import context_limit, max_context, with_context
from budget.planning.summary import required_on, weights_alone
from budget.record import field_names, record, replace
from budget.runtime.handlers import EXPERTS_REGEX, NO_PIPELINING
from budget.runtime.rendering import to_command_line
from budget.runtime.settings import Settings
from budget.units import format_count, format_size

MAX_SUGGESTIONS = 6


@record
class Suggestion:
    """One change and what comes of it."""

    flag: str
    """As typed: `-ctk q8_0 -ctv q8_0`."""
    settings: dict[str, Any]
    """Changed settings by name."""
    device: str
    """The device that binds: the one that falls short by most, or `total` for one pool."""
    gained_bytes: int
    """Bytes less on that device."""
    fits: bool
    """Whether this change alone is enough."""
    cost: str
    """What is lost."""
    plan: Plan
    """The plan with the change."""

    @property
    def text(self) -> str:
        """One sentence."""
        gain = f"{format_size(self.gained_bytes)} less on {self.device}"
        return f"{self.flag} {'fits' if self.fits else 'is not enough'}: {gain}; costs {self.cost}"


def suggest(answer: Plan) -> tuple[Suggestion, ...]:
    """Changes that help a plan that does not fit, the ones that are enough and cost least first.

    Raises:
        UnknownAnswerError: a number that the answer needs is not known.
    """
    if answer.verdict != "does_not_fit" or weights_alone(answer):
        return ()
    before = answer.request.settings
    found: list[tuple[int, Suggestion]] = []
    seen: set[Settings] = {before}
    for rank, (settings, cost) in enumerate(_changes(answer)):
        if settings in seen:
            continue
        seen.add(settings)
        suggestion = _verified(answer, settings, cost)
        if suggestion is not None:
            found.append((rank, suggestion))
    found.sort(key=lambda pair: (not pair[1].fits, pair[0] if pair[1].fits else -pair[1].gained_bytes))
    return tuple(suggestion for _, suggestion in found[:MAX_SUGGESTIONS])


def suggestion_object(suggestion: Suggestion) -> dict[str, Any]:
    """For JSON."""
    return {
        "flag": suggestion.flag,
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in suggestion.settings.items()},
        "device": suggestion.device,
        "gained_bytes": suggestion.gained_bytes,
        "fits": suggestion.fits,
        "cost": suggestion.cost,
        "text": suggestion.text,
    }


def _verified(answer: Plan, settings: Settings, cost: str) -> Suggestion | None:
    """The change with what it gains; None where it does not help or llama.cpp would refuse it."""
    try:
        after = plan(replace(answer.request, settings=settings))
    except BudgetError:
        return None
    device = max(answer.failures, key=lambda f: f.short_bytes).device
    gained = required_on(answer, device) - required_on(after, device)
    if gained <= 0 or _short(after) >= _short(answer) or after.verdict == "unknown" or _moves(answer, after):
        return None
    changed = {
        name: getattr(settings, name)
        for name in field_names(Settings)
        if getattr(settings, name) != getattr(answer.request.settings, name)
    }
    return Suggestion(
        flag=_flag(answer.request.settings, settings, changed),
        settings=changed,
        device=device,
        gained_bytes=gained,
        fits=after.fits,
        cost=cost,
        plan=after,
    )


def _moves(answer: Plan, after: Plan) -> bool:
    """Whether some device falls short by more than before: the bytes have only moved."""
    before = {f.device: f.short_bytes for f in answer.failures}
    return any(f.short_bytes > before.get(f.device, 0) for f in after.failures)


def _short(answer: Plan) -> int:
    return sum(f.short_bytes for f in answer.failures)


def _flag(before: Settings, settings: Settings, changed: dict[str, Any]) -> str:
    """The change as flags; of overrides only those that are new."""
    new = dict(changed)
    if "tensor_buft_overrides" in new:
        old = before.tensor_buft_overrides
        new["tensor_buft_overrides"] = tuple(e for e in settings.tensor_buft_overrides if e not in old)
    shown = replace(Settings(tool=settings.tool), **new)
    return " ".join(to_command_line(shown, keep=frozenset(changed))[1:])


def _changes(answer: Plan) -> Iterator[tuple[Settings, str]]:
    """Single changes, the cheapest first, with what each costs."""
    request = answer.request
    settings, params = request.settings, answer.layout.params
    if settings.swa_full:
        yield replace(settings, swa_full=False), "checkpoints of sliding-window caches in place of reuse"
    if params.n_seq_max > 1 and not params.kv_unified:
        yield replace(settings, kv_unified=True), "slots share one context"
    if params.n_ubatch > 128:
        yield from _batches(settings, params.n_ubatch)
    if answer.layout.compute.n_copies > 1:
        yield replace(settings, tensor_buft_overrides=(NO_PIPELINING,)), "slower prompts: GPUs take turns"
    if params.n_seq_max > 1:
        yield replace(settings, n_parallel=1), "one request at a time"
    if settings.mmproj and settings.mmproj_offload:
        yield replace(settings, mmproj_offload=False), "images are encoded on the CPU"
    if settings.repack:
        yield replace(settings, repack=False), "slower matrix products on the CPU"
    if answer.layout.compute.flash_attn and not (params.type_k.quantized or params.type_v.quantized):
        yield replace(settings, type_k="q8_0", type_v="q8_0"), "a small loss of quality"
    yield from _shorter(request, params.n_ctx)
    yield from _on_host(answer)
    if params.offload_kqv and answer.layout.devices:
        yield replace(settings, offload_kqv=False), "speed: attention runs on the CPU"
    if answer.layout.compute.flash_attn:
        yield replace(settings, type_k="q4_0", type_v="q4_0"), "a clear loss of quality"


def _batches(settings: Settings, n_ubatch: int) -> Iterator[tuple[Settings, str]]:
    for size in (n_ubatch // 2, 128):
        yield replace(settings, n_ubatch=size), "slower prompts"


def _shorter(request: Request, wanted: int) -> Iterator[tuple[Settings, str]]:
    """The longest context that fits, of those that the model was trained for."""
    longest = max_context(request, limit=min(wanted, context_limit(request)))
    if longest is not None:
        yield (
            with_context(request, longest).settings,
            f"context: {format_count(longest)} of {format_count(wanted)} tokens",
        )


def _on_host(answer: Plan) -> Iterator[tuple[Settings, str]]:
    """The fewest layers, or experts of layers, on the host with which it fits."""
    request, model = answer.request, answer.request.model
    settings, placement = request.settings, answer.layout.placement
    if not placement.devices or placement.meta_devices:
        return
    if model.n_expert:
        n = _least(lambda n: replace(settings, tensor_buft_overrides=_first_experts(settings, n)), answer)
        if n is not None:
            yield (
                replace(settings, tensor_buft_overrides=_first_experts(settings, n)),
                f"speed: experts of {n} of {model.n_layer} layers run on the CPU",
            )
    n_layers = min(placement.n_gpu_layers, model.n_layer_all + 1)
    n = _least(lambda n: replace(settings, n_gpu_layers=n_layers - n), answer)
    if n is not None:
        yield (
            replace(settings, n_gpu_layers=n_layers - n),
            f"speed: {n} more of {model.n_layer} layers on the CPU",
        )


def _first_experts(settings: Settings, n: int) -> tuple[tuple[str, str], ...]:
    """What `-ncmoe n` adds."""
    return (*settings.tensor_buft_overrides, *((f"blk\\.{il}{EXPERTS_REGEX}", "CPU") for il in range(n)))


def _least(changed: Callable[[int], Settings], answer: Plan) -> int | None:
    """The least `n` from 1 on with which the devices are large enough; the most there are where none is."""
    model = answer.request.model
    n_layers = min(answer.layout.placement.n_gpu_layers, model.n_layer_all)
    if n_layers < 1:
        return None

    def enough(n: int) -> bool:
        # the host may fall short instead: then the change is weighed as it is
        after = plan(replace(answer.request, settings=changed(n)))
        return all(f.device == HOST for f in after.failures)

    if not enough(n_layers):
        return n_layers
    low, high = 0, n_layers  # low does not fit, high does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
