"""Settings that fit and use the machine best, what each costs, and the alternatives that are better at something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from budget.planning.fit import Plan, Request, Verdict
from budget.planning.offload import gpu_weight_bytes
from budget.planning.speed import Speed, bandwidths, speed
from budget.planning.summary import weights_alone, what_to_give
from budget.planning.variants import Variants, pinned_down
from budget.units import format_count, format_size

Prefer = Literal["context", "speed", "quality", "slots"]
SAME_SPEED = 0.95
"""At least this share of the fastest counts as just as fast: the roofline is no better than that."""
MAX_ALTERNATIVES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Settings that fit."""

    plan: Plan
    speed: Speed
    costs: tuple[str, ...]
    """What they cost, in sentences; empty where nothing is given up."""

    @property
    def n_ctx(self) -> int:
        """Total context, tokens."""
        return self.plan.layout.params.n_ctx

    @property
    def n_slots(self) -> int:
        """Slots."""
        return self.plan.layout.params.n_seq_max


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """The answer of `advise`."""

    asked: Plan
    """The plan of the request as it was, at the whole context where none is pinned."""
    best: Choice | None
    """None where nothing fits."""
    alternatives: tuple[Choice, ...]
    """Better than `best` at context, speed, quality or slots; none is worse than another at everything."""
    ranked_by: Literal["speed", "weights"]
    """What stands for speed: the roofline, or weight bytes on GPUs where a bandwidth is not known."""
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`fits` where something was found; `unknown` where a number that decides is not known."""
        if self.best is not None:
            return "fits"
        return "unknown" if self.asked.reasons else "does_not_fit"


def advise(
    request: Request,
    explicit: frozenset[str] = frozenset(),
    *,
    ctx_min: int | None = None,
    prefer: Prefer = "speed",
    rates: Mapping[str, int] | None = None,
) -> Advice:
    """The best settings for `request`.

    Args:
        request: with the settings that the user gave.
        explicit: names of the settings that must stay as they are.
        ctx_min: least total context, tokens; 4096 (llama.cpp's `--fit-ctx`) by default.
        prefer: what decides between plans that fit.
        rates: bytes per second by device, besides what the machine says.

    Raises:
        UsageError: settings that llama.cpp refuses.
        MachineError: a named device does not exist.
        UnknownAnswerError: a number that the answer needs is not known.
    """
    variants = Variants(request, explicit, ctx_min)
    asked = variants.whole
    if asked.reasons:
        notes = (*asked.reasons, *what_to_give(asked))
        return Advice(asked=asked, best=None, alternatives=(), ranked_by="weights", notes=notes)
    if ctx_min is not None and ctx_min > variants.limit:
        notes = (_beyond(variants, ctx_min),)
        return Advice(asked=asked, best=None, alternatives=(), ranked_by="weights", notes=notes)
    plans = list(variants.plans())
    if prefer == "slots":
        plans += variants.slots()
    known = bandwidths(request.machine, rates)
    n_filled = min((p.layout.params.n_ctx_seq for p in plans), default=0) // 2
    choices = [
        Choice(plan=final, speed=speed(final, known, n_filled=n_filled), costs=_costs(asked, final))
        for final in _unique(pin(request, explicit, p) for p in plans)
    ]
    unknown = sorted({name for c in choices for name in c.speed.unknown})
    ranking = _Ranking(choices, by_speed=not unknown)
    best = ranking.best(prefer) if choices else None
    return Advice(
        asked=asked,
        best=best,
        alternatives=ranking.frontier(best) if best is not None else (),
        ranked_by="speed" if not unknown else "weights",
        notes=_notes(unknown) if choices else _closest(variants),
    )


def _beyond(variants: Variants, ctx_min: int) -> str:
    """Why no settings can have the least context that was asked for."""
    wanted, limit = format_count(ctx_min), format_count(variants.limit)
    if not variants.free_context:
        return f"--ctx-min {wanted} is more than the context of {limit} that -c gives"
    return f"--ctx-min {wanted} is more than the {limit} tokens that the model was trained with"


def _closest(variants: Variants) -> tuple[str, ...]:
    """The smallest plan there is, and by how much even that falls short."""
    smallest = variants.smallest()
    params, settings = smallest.layout.params, smallest.request.settings
    n_gpu_layers = f", -ngl {settings.n_gpu_layers}" if settings.n_gpu_layers >= 0 else ""
    short = "; ".join(
        f"{f.device} needs {format_size(f.required_bytes)}, may use {format_size(f.available_bytes)}, "
        f"short by {format_size(f.short_bytes)}"
        for f in smallest.failures
    )
    what = (
        f"context {format_count(params.n_ctx)}, K/V {params.type_k.name}/{params.type_v.name}{n_gpu_layers}"
    )
    weights = weights_alone(smallest)
    return (f"even the smallest plan ({what}) does not fit: {short}", *([weights] if weights else []))


def pin(request: Request, explicit: frozenset[str], answer: Plan) -> Plan:
    """`answer` with everything said that llama.cpp would choose itself; its numbers do not change."""
    final = pinned_down(request, explicit, answer)
    return answer if final == answer.request else replace(answer, request=final)


def _unique(plans: Iterable[Plan]) -> list[Plan]:
    found: list[Plan] = []
    for answer in plans:
        if all(answer.request.settings != other.request.settings for other in found):
            found.append(answer)
    return found


_ORDER: dict[Prefer, tuple[Prefer, ...]] = {
    "context": ("context", "speed", "quality"),
    "speed": ("quality", "speed", "context"),
    "quality": ("quality", "context", "speed"),
    "slots": ("slots", "quality", "speed", "context"),
}
"""What decides first, second, and so on; `speed` never pays with quality."""


def _merit(choice: Choice, criterion: Prefer) -> tuple[float, ...]:
    if criterion == "quality":
        return _quality(choice)
    return (choice.n_ctx if criterion == "context" else choice.n_slots,)


class _Ranking:
    """Orders choices."""

    def __init__(self, choices: Sequence[Choice], *, by_speed: bool) -> None:
        self.choices = choices
        self.by_speed = by_speed

    def pace(self, choice: Choice) -> tuple[float, float]:
        """What stands for speed: tokens per second, else weight bytes on GPUs less what `-nkvo` takes away."""
        if self.by_speed:
            return (choice.speed.tokens_per_second or 0.0, choice.speed.prompt_tokens_per_second or 0.0)
        layout = choice.plan.layout
        moved = 0 if layout.params.offload_kqv else sum(b.context_bytes for b in layout.buffers)
        return (float(gpu_weight_bytes(layout) - moved), 0.0)

    def best(self, prefer: Prefer) -> Choice:
        """What is left when each criterion in turn keeps only the best."""
        left = list(self.choices)
        for criterion in _ORDER[prefer]:
            if criterion == "speed":
                fastest = max(self.pace(c)[0] for c in left)
                left = [c for c in left if self.pace(c)[0] >= fastest - (1 - SAME_SPEED) * abs(fastest)]
            else:
                most = max(_merit(c, criterion) for c in left)
                left = [c for c in left if _merit(c, criterion) == most]
        return max(left, key=lambda c: (self.pace(c), c.n_slots))

    def frontier(self, best: Choice) -> tuple[Choice, ...]:
        """Choices that no other beats at everything, the longest context first."""
        kept = [c for c in self.choices if c is not best and not any(self._beats(o, c) for o in self.choices)]
        kept.sort(key=lambda c: (c.n_ctx, self.pace(c)), reverse=True)
        return tuple(kept[:MAX_ALTERNATIVES])

    def _beats(self, one: Choice, other: Choice) -> bool:
        a, b = self._merits(one), self._merits(other)
        return one is not other and all(x >= y for x, y in zip(a, b, strict=True)) and a != b

    def _merits(self, choice: Choice) -> tuple[float, ...]:
        pace, layout = self.pace(choice), choice.plan.layout
        prompts = (layout.params.n_ubatch, layout.compute.n_copies)
        return (choice.n_ctx, choice.n_slots, *_quality(choice), pace[0], *prompts)


def _quality(choice: Choice) -> tuple[float, float]:
    """Bits per element of K and V: the only settings here that change what the model says."""
    params = choice.plan.layout.params
    k, v = params.type_k, params.type_v
    return (k.block_bytes / k.block_elems, v.block_bytes / v.block_elems)


def _costs(asked: Plan, answer: Plan) -> tuple[str, ...]:
    """What `answer` gives up against `asked`, which may not fit."""
    wanted, params = asked.layout.params, answer.layout.params
    costs = []
    if params.n_ctx < wanted.n_ctx:
        costs.append(f"context: {format_count(params.n_ctx)} of {format_count(wanted.n_ctx)} tokens in total")
    if (params.type_k, params.type_v) != (wanted.type_k, wanted.type_v):
        costs.append(f"quality: K/V cache in {params.type_k.name}/{params.type_v.name}, a small loss")
    moved = gpu_weight_bytes(asked.layout) - gpu_weight_bytes(answer.layout)
    if moved > 0:
        costs.append(f"speed: {format_size(moved)} of weights are read from RAM instead of a GPU")
    if wanted.offload_kqv and not params.offload_kqv:
        costs.append("speed: the K/V cache is in RAM, so attention slows down as the context fills")
    if params.n_ubatch < wanted.n_ubatch:
        costs.append(f"speed: prompts go in batches of {params.n_ubatch} tokens instead of {wanted.n_ubatch}")
    if asked.layout.compute.n_copies > answer.layout.compute.n_copies and len(answer.layout.devices) > 1:
        costs.append("speed: GPUs take turns on prompts instead of sharing them")
    if asked.request.settings.repack and not answer.request.settings.repack:
        costs.append("speed: weights in RAM are not repacked, so matrix products on the CPU are slower")
    if params.n_seq_max > 1 and params.n_seq_max != wanted.n_seq_max:
        costs.append(f"slots: {params.n_seq_max} instead of {wanted.n_seq_max}")
    return tuple(costs)


def _notes(unknown: Sequence[str]) -> tuple[str, ...]:
    if not unknown:
        return ("speeds are upper bounds from memory bandwidth, an estimate",)
    return (
        f"ranked by weight bytes on GPUs: the bandwidth of {', '.join(unknown)} is not known (--bandwidth)",
    )
