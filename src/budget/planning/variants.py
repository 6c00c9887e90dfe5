"""Settings worth trying where what was asked for does not fit: each one a full plan that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from budget.planning.fit import Plan, Request, plan
from budget.planning.longest import context_limit, context_step, max_context, with_context
from budget.planning.offload import offloads
from budget.runtime.handlers import NO_PIPELINING
from budget.runtime.settings import LLAMA_MAX_SEQ, N_CTX_MIN_FIT, N_GPU_LAYERS_ALL, resolve
from budget.units import round_up

QUANTISED_KV = "q8_0"
"""The K/V type tried: half the bytes of f16, and the least loss of those that llama.cpp offers."""
SMALL_UBATCH = 128
"""Tokens; compute buffers shrink with the micro-batch, prompts then need more passes over the weights."""
MAX_LADDER = 2
"""Contexts tried between the least and the whole one."""


class Variants:
    """Everything that may be changed in one request."""

    def __init__(self, request: Request, explicit: frozenset[str], ctx_min: int | None) -> None:
        self.explicit = explicit
        context = {"n_ctx", "kv_unified_per_slot"} & explicit
        limit = resolve(request.settings, request.model).n_ctx if context else context_limit(request)
        self.free_context = not context
        self.step = context_step(request)
        least = ctx_min if ctx_min is not None else N_CTX_MIN_FIT
        self.ctx_min = min(round_up(least, self.step), limit) if self.free_context else limit
        self.limit = limit
        self.request = request if context else with_context(request, limit)
        self.whole = plan(self.request)
        self.on_gpus = 0
        """The longest context found with every layer on a GPU."""
        self.quantised_fits = False
        """Whether the whole context fits there with a quantised cache."""

    def free(self, *names: str) -> bool:
        """Whether none of these settings is pinned."""
        return not self.explicit.intersection(names)

    def plans(self) -> Iterator[Plan]:
        """Every variant that fits; only the whole request where it fits as it is."""
        if self.whole.fits:
            yield self.whole
            return
        found = False
        for answer in self._changed_plans():
            found = True
            yield answer
        if not found and self.free("repack") and self.repacked:
            yield from Variants(_changed(self.request, repack=False), self.explicit, self.ctx_min).plans()

    @property
    def repacked(self) -> bool:
        """Whether some weights lie in RAM twice, as they are in the file and repacked."""
        return any(b.name == "CPU_REPACK" for b in self.whole.layout.buffers)

    def _changed_plans(self) -> Iterator[Plan]:
        if self.weights_fit:
            yield from self.all_on_gpus(self.request)
            if self.quantised is not None:
                yield from self.all_on_gpus(self.quantised)
            yield from self.small_batch()
            yield from self.unpipelined()
            yield from self.host_cache()
        yield from self.offloaded()

    def slots(self) -> Iterator[Plan]:
        """As many slots as fit where each has the least context, in one unified cache."""
        if not self.free("n_parallel"):
            return
        each = self.ctx_min if self.free_context else N_CTX_MIN_FIT
        n = min(LLAMA_MAX_SEQ, max(self.limit // each, 1) if not self.free_context else LLAMA_MAX_SEQ)
        while n >= 1:
            total = round_up(n * each, self.step) if self.free_context else self.limit
            changes: dict[str, Any] = {"n_parallel": n}
            if self.free("kv_unified"):
                changes["kv_unified"] = True
            answer = plan(with_context(_changed(self.request, **changes), total))
            if answer.fits:
                yield answer
                return
            n //= 2

    @property
    def weights_fit(self) -> bool:
        """Whether the devices together have room for their weights alone."""
        rows = [d for d in self.whole.devices if d.kind != "cpu"]
        caps = [d.available_bytes for d in rows]
        return None in caps or sum(d.weights_bytes for d in rows) <= sum(c or 0 for c in caps)

    @property
    def quantised(self) -> Request | None:
        """The request with a quantised cache; None where a type is pinned or flash attention is off."""
        settings = self.request.settings
        params = self.whole.layout.params
        if not self.free("type_k", "type_v") or not self.whole.layout.compute.flash_attn:
            return None
        if params.type_k.quantized or params.type_v.quantized or not self.whole.layout.caches:
            return None
        changed = replace(settings, type_k=QUANTISED_KV, type_v=QUANTISED_KV)
        return replace(self.request, settings=changed)

    def smallest(self) -> Plan:
        """The least context with the smallest cache and batch, and as many layers on devices as these hold."""
        changes: dict[str, Any] = {}
        if self.free("n_ubatch") and self.whole.layout.params.n_ubatch > SMALL_UBATCH:
            changes["n_ubatch"] = SMALL_UBATCH
        if self.free("repack"):
            changes["repack"] = False
        least = _changed(self.quantised or self.request, **changes)
        least = with_context(least, self.ctx_min) if self.free_context else least
        best = plan(least)
        if not self.free("n_gpu_layers") or not best.layout.devices:
            return best

        def at(n_gpu_layers: int) -> Plan:
            return plan(_changed(least, n_gpu_layers=n_gpu_layers, tensor_split=()))

        low, high = (
            0,
            best.layout.placement.n_gpu_layers,
        )  # devices hold low layers; high ones may be too many
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _devices_hold(at(middle)) else (low, middle)
        candidates = (best, at(low), at(0))
        return min(candidates, key=lambda p: sum(f.short_bytes for f in p.failures))

    def all_on_gpus(self, request: Request) -> Iterator[Plan]:
        """The longest context with every layer on a GPU."""
        if not self.free_context:
            if request is not self.request:
                found = list(_fitting(request))
                self.quantised_fits = bool(found)
                yield from found
            return
        longest = max_context(request, limit=self.limit)
        if longest is None or longest < self.ctx_min:
            return
        if request is self.request:
            self.on_gpus = longest
        else:
            self.quantised_fits = longest == self.limit
        yield plan(with_context(request, longest))

    def small_batch(self) -> Iterator[Plan]:
        """A smaller micro-batch."""
        if self.free("n_ubatch") and self.whole.layout.params.n_ubatch > SMALL_UBATCH:
            yield from _fitting(_changed(self.request, n_ubatch=SMALL_UBATCH))

    def unpipelined(self) -> Iterator[Plan]:
        """No copies of inputs for several micro-batches at once."""
        if self.free("tensor_buft_overrides") and self.whole.layout.compute.n_copies > 1:
            yield from _fitting(_changed(self.request, tensor_buft_overrides=(NO_PIPELINING,)))

    def host_cache(self) -> Iterator[Plan]:
        """K/V in RAM."""
        if self.free("offload_kqv") and self.whole.layout.params.offload_kqv and self.whole.layout.devices:
            yield from _fitting(_changed(self.request, offload_kqv=False))

    def offloaded(self) -> Iterator[Plan]:
        """Weights on the host: a thorough search where the context is pinned, else quick ones up to the whole."""
        if not self.free_context:
            yield from offloads(self.request, self.explicit, first=self.whole)
        for n_ctx in self.ladder() if self.free_context else []:
            asked = with_context(self.request, n_ctx)
            yield from offloads(asked, self.explicit, quick=True, first=self.whole)
        if self.quantised is not None and not self.quantised_fits:
            yield from offloads(self.quantised, self.explicit, quick=True, first=self.whole)

    def ladder(self) -> list[int]:
        """The least context, some between, each four times the one before, and the whole one."""
        result = [self.limit]
        while len(result) <= MAX_LADDER and result[-1] // 4 > self.ctx_min:
            result.append(round_up(result[-1] // 4, self.step))
        if self.ctx_min < self.limit:
            result.append(self.ctx_min)
        return [n_ctx for n_ctx in result[::-1] if n_ctx > self.on_gpus]


def _changed(request: Request, **changes: Any) -> Request:
    return replace(request, settings=replace(request.settings, **changes))


def _devices_hold(answer: Plan) -> bool:
    """Whether no device falls short, the host and the pool aside."""
    return all(d.fits is not False for d in answer.devices if d.kind != "cpu")


def _fitting(request: Request) -> Iterator[Plan]:
    answer = plan(request)
    if answer.fits:
        yield answer


def pinned_down(request: Request, explicit: frozenset[str], answer: Plan) -> Request:
    """`answer`'s request with everything said that llama.cpp would otherwise choose: context and layers.

    `--fit` is turned off: it would change what was planned.
    """
    settings = answer.request.settings
    changes: dict[str, Any] = {}
    if not {"n_ctx", "kv_unified_per_slot"} & explicit:
        changes["n_ctx"] = answer.layout.params.n_ctx
    if "n_gpu_layers" not in explicit and settings.n_gpu_layers < 0 and request.machine.devices:
        changes["n_gpu_layers"] = N_GPU_LAYERS_ALL
    if "fit" not in explicit and settings.tool == "llama-server":
        changes["fit"] = False
    return replace(answer.request, settings=replace(settings, **changes))
