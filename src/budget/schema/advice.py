"""The shape of `budget advise --json`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import NonNegativeInt

from budget.schema.base import SCHEMA_KEY, Object
from budget.schema.plan import Fit


class SpeedFacts(Object):
    """Upper bounds of the speed from memory bandwidth; null where a bandwidth is not known."""

    basis: Literal["estimate"]
    """Always `estimate`: kernels, launches and synchronisation only make it slower."""
    tokens_per_second: float | None
    """Generated tokens of one sequence, a second; null where the bandwidth of a device that is read is not known."""
    prompt_tokens_per_second: float | None
    """Prompt tokens a second, as far as memory and bus bind them; null where a bandwidth is not known."""
    n_filled: NonNegativeInt
    """Tokens in the cache when the token is generated."""
    read_bytes: dict[str, NonNegativeInt]
    """Bytes read for one generated token, by device."""
    bus_bytes: NonNegativeInt
    """Activations that cross between devices for one generated token, bytes."""
    unknown: list[str]
    """Devices that are read and whose bandwidth is not known (`--bandwidth` gives it)."""


class Alternative(Object):
    """Settings that are better at context, speed, quality or slots."""

    command: list[str]
    """A line that loads the model as planned, as arguments; the first is the program."""
    settings: dict[str, Any]
    """Settings that are not llama.cpp's defaults, and `n_ctx` and `n_gpu_layers` in any case, by llama.cpp's
    parameter name."""
    plan: Fit
    """The plan with these settings; its `max_ctx` and `suggestions` are left empty."""
    costs: list[str]
    """What is given up against what was asked for, in sentences."""
    speed: SpeedFacts
    """How fast it could be at best."""


class Advise(Object):
    """What `budget advise MODEL --json` prints: settings that fit, what they cost, and the alternatives."""

    schema_: Literal["budget/advise/v1"] = SCHEMA_KEY
    command: list[str] | None
    """A line that loads the model as planned, as arguments, the program first; null where nothing fits."""
    settings: dict[str, Any] | None
    """Settings that are not llama.cpp's defaults, and `n_ctx` and `n_gpu_layers` in any case, by llama.cpp's
    parameter name; null where nothing fits."""
    plan: Fit
    """The plan with these settings, or of what was asked for where nothing fits; its `max_ctx` and `suggestions` are
    left empty."""
    costs: list[str]
    """What is given up against what was asked for, in sentences; empty where nothing is."""
    speed: SpeedFacts | None
    """How fast it could be at best; null where nothing fits."""
    alternatives: list[Alternative]
    """Settings that are better at something, the longest context first; none is worse than another at everything."""
    ranked_by: Literal["speed", "weights"]
    """What stands for speed: the roofline, or weight bytes on GPUs where a bandwidth is not known."""
    notes: list[str]
    """What the ranking rests on, why nothing is known, and with `--rpc-from` the lines that start the RPC servers."""
