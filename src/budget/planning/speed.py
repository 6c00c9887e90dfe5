"""How fast a plan could be at best: the bytes that must be read for a token over the rate at which they can be.

A roofline, not a forecast: kernels, launches, scheduling and synchronisation only make it slower. It ranks plans
of one model on one machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from budget.errors import UsageError
from budget.machine.device import Machine
from budget.memory.buffer_types import OFFLOAD_MIN_BATCH
from budget.memory.layout import HOST, Layout
from budget.memory.placement import PlacedTensor, cache_buffer_type
from budget.model.facts import Model
from budget.planning.fit import Plan
from budget.planning.movable import EXPERTS
from budget.planning.usage import device_named
from budget.units import parse_size

BUS_BYTES_PER_SECOND = 31_500_000_000
"""PCIe 4.0 x16 in one direction: 16 GT/s x 16 lanes x 128/130 (PCI-SIG). No probe reads the real link's rate."""
FILL = 0.5
"""Share of a slot's context that is taken to be filled while a token is generated."""
ACTIVATION_BYTES = 4
"""Bytes of an activation's element: ggml keeps them in f32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Upper bounds, and what they come from."""

    tokens_per_second: float | None
    """Generated tokens of one sequence; None where the bandwidth of a device that is read is not known."""
    prompt_tokens_per_second: float | None
    """Prompt tokens, bound by memory and bus; what the arithmetic takes is not known."""
    read_bytes: Mapping[str, int]
    """Bytes read on each device for one generated token."""
    bus_bytes: int
    """Activations that cross between devices for one generated token."""
    prompt_operations: int
    """Floating-point operations of one prompt token's matrix products, attention aside."""
    n_filled: int
    """Tokens in the cache when the token is generated."""
    unknown: tuple[str, ...] = ()
    """Devices whose bandwidth is not known and that are read."""
    basis: Literal["estimate"] = "estimate"


def bandwidths(machine: Machine, given: Mapping[str, int] | None = None) -> dict[str, int]:
    """Bytes per second by device, as far as it is known; what the user gives wins over what the machine says."""
    known = {d.name: d.bandwidth_bytes_per_second for d in machine.devices}
    shared = [d.bandwidth_bytes_per_second for d in machine.devices if d.unified]
    result = {name: rate for name, rate in known.items() if rate}
    if shared and shared[0]:
        result[HOST] = shared[0]  # the device's memory is the host's
    return result | dict(given or {})


def parse_bandwidths(texts: Iterable[str], machine: Machine) -> dict[str, int]:
    """Bytes per second by device from `CUDA0=3350GB/s`, `ram=80GB/s`; several may be joined with commas.

    Raises:
        UsageError: text of another form.
        MachineError: a device that is not there.
    """
    result: dict[str, int] = {}
    for part in (part for text in texts for part in text.split(",")):
        key, sep, value = part.partition("=")
        if not sep or not key.strip():
            raise UsageError(f"--bandwidth {part!r} is no DEVICE=RATE", hint="such as CUDA0=3350GB/s")
        try:
            rate = parse_size(value.strip().removesuffix("/s"))
        except UsageError as e:
            raise UsageError(f"--bandwidth {part!r}: {e.message}", hint="such as CUDA0=3350GB/s") from e
        if rate <= 0:
            raise UsageError(f"--bandwidth {part!r}: the rate must be positive")
        result[device_named(key.strip(), machine, context=f"--bandwidth {part!r}")] = rate
    return result


def speed(answer: Plan, rates: Mapping[str, int], *, n_filled: int | None = None) -> Speed:
    """Upper bounds of `answer`'s speed.

    Devices work one after the other, so their times add up. A token reads every weight once, of the routed experts
    only those used, and the filled part of its sequence's caches.

    Args:
        rates: bytes per second by device name.
        n_filled: tokens in the cache of the sequence; half a slot's context by default.
    """
    layout, model = answer.layout, answer.request.model
    rates = _with_meta(layout, rates)
    n_filled = int(layout.params.n_ctx_seq * FILL) if n_filled is None else n_filled
    read = _Reads(model=model, layout=layout)
    read.weights()
    read.caches(n_filled)
    unknown = tuple(name for name, size in read.token.items() if size and not rates.get(name))
    seconds = None
    if not unknown:
        seconds = sum(size / rates[name] for name, size in read.token.items() if size)
        seconds += read.bus_bytes / BUS_BYTES_PER_SECOND
    return Speed(
        tokens_per_second=1 / seconds if seconds else None,
        prompt_tokens_per_second=_prompt_rate(layout, read, rates),
        read_bytes=dict(read.token),
        bus_bytes=read.bus_bytes,
        prompt_operations=2 * read.n_active,
        n_filled=n_filled,
        unknown=unknown,
    )


def _with_meta(layout: Layout, rates: Mapping[str, int]) -> Mapping[str, int]:
    """`-sm tensor`: the devices behind the Meta device read their slices at the same time."""
    parts = layout.placement.meta_devices
    if not parts or not all(rates.get(d.name) for d in parts):
        return rates
    return {**rates, layout.placement.devices[0].name: sum(rates[d.name] for d in parts)}


def _prompt_rate(layout: Layout, read: _Reads, rates: Mapping[str, int]) -> float | None:
    """Tokens per second of a micro-batch: every weight is read once, host weights over the bus where that helps.

    With pipeline parallelism devices work on different micro-batches at the same time, so the slowest one counts.
    """
    n_tokens = min(layout.params.n_ubatch, layout.params.n_ctx)
    seconds = []
    for name, size in read.batch.items():
        offloaded = 0
        if name == HOST and layout.devices and layout.params.op_offload and n_tokens >= OFFLOAD_MIN_BATCH:
            offloaded = read.copied
            seconds.append(offloaded / BUS_BYTES_PER_SECOND)
        if size == offloaded:
            continue
        if not rates.get(name):
            return None
        seconds.append((size - offloaded) / rates[name])
    if not seconds:
        return None
    return n_tokens / (max(seconds) if layout.compute.n_copies > 1 else sum(seconds))


@dataclass(slots=True)
class _Reads:
    """Bytes read per device."""

    model: Model
    layout: Layout
    token: dict[str, int] = field(default_factory=dict)
    """For one generated token."""
    batch: dict[str, int] = field(default_factory=dict)
    """For one micro-batch: every weight."""
    copied: int = 0
    """The part of the host's that a GPU copies for a large batch."""
    bus_bytes: int = 0
    n_active: int = 0
    """Weights that one token is multiplied with."""

    def weights(self) -> None:
        """Weights and the activations between devices."""
        on_host_only: set[int] = set()
        for placed in self.layout.placement.weights:
            if placed.tensor_class == "input" or placed.op == "GET_ROWS":
                continue  # one row of the embedding
            name = self._device(placed.buffer_type.device)
            active = _active_bytes(placed, self.model)
            self.token[name] = self.token.get(name, 0) + active
            self.batch[name] = self.batch.get(name, 0) + placed.tensor.nbytes
            self.n_active += math.prod(placed.tensor.ne) * active // max(placed.tensor.nbytes, 1)
            if name == HOST and placed.buffer_type.is_host:
                self.copied += placed.tensor.nbytes
            layer = placed.layer
            if name == HOST and layer is not None and self.layout.placement.layer_device[layer] is not None:
                on_host_only.add(layer)
        self.bus_bytes = self._crossings(len(on_host_only)) * self.model.n_embd * ACTIVATION_BYTES

    def _crossings(self, n_mixed: int) -> int:
        """Activation vectors that move: at each change of device, to the host and back for each mixed layer."""
        devices = self.layout.placement.layer_device
        changes = sum(a != b for a, b in pairwise(devices))
        start = devices[0] is not None  # the embedding's row comes from the host
        return changes + start + 2 * n_mixed

    def caches(self, n_filled: int) -> None:
        """The filled part of one sequence's caches, and its states, read and written."""
        params, placement = self.layout.params, self.layout.placement
        for tensor in self.layout.caches:
            name = self._device(cache_buffer_type(placement, params, tensor.layer).device)
            size = tensor.type.tensor_bytes(tensor.ne)
            if tensor.cache in ("recurrent", "state"):
                size = 2 * size // params.n_seq_max
            else:
                cells = tensor.ne[1] if len(tensor.ne) > 1 else tensor.ne[0]
                streams = tensor.ne[2] if len(tensor.ne) > 2 else 1
                window = self.model.n_swa if tensor.cache == "swa" and self.model.n_swa else n_filled
                size = size // max(streams, 1) * min(n_filled, window, cells) // max(cells, 1)
            self.token[name] = self.token.get(name, 0) + size

    def _device(self, index: int | None) -> str:
        return HOST if index is None else self.layout.placement.devices[index].name


def _active_bytes(placed: PlacedTensor, model: Model) -> int:
    """Bytes of a weight that one token reads."""
    size = placed.tensor.nbytes
    if model.n_expert and EXPERTS.search(placed.tensor.name):
        return size * model.n_expert_used // model.n_expert
    return size
