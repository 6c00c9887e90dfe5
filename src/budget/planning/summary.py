"""A plan in one line, and how tight it is."""

from __future__ import annotations

from typing import Literal

from budget.errors import UnknownAnswerError
from budget.machine.device import Machine
from budget.planning.budget import HOST
from budget.planning.fit import Plan, headroom_bytes, shared_memory
from budget.planning.unified import POOL
from budget.planning.usage import TOTAL
from budget.runtime.settings import FIT_CTX_FULL, N_CTX_PADDING, N_GPU_LAYERS_AUTO, Settings
from budget.units import GiB, format_size, round_up

Tightness = Literal["ok", "tight", "short"]
TIGHT_BYTES = GiB
"""Less than this left over is tight: one more slot or a longer prompt may not fit."""


def tightness(required_bytes: int, available_bytes: int, *, tight_bytes: int = TIGHT_BYTES) -> Tightness:
    """`short` where it does not fit, `tight` where less than `tight_bytes` are left, else `ok`."""
    left = available_bytes - required_bytes
    return "short" if left < 0 else "tight" if left < tight_bytes else "ok"


def plan_tightness(answer: Plan, *, tight_bytes: int = TIGHT_BYTES) -> Tightness | None:
    """The same for the device that binds; None where the verdict is unknown or nothing is limited."""
    if answer.verdict == "unknown":
        return None
    limited = answer.request.budget.combined_bytes is not None or any(
        d.available_bytes is not None and d.required_bytes for d in answer.devices
    )
    return tightness(0, headroom_bytes(answer), tight_bytes=tight_bytes) if limited else None


def one_line(answer: Plan) -> str:
    """`fits at 8,192 tokens: CUDA0 7.2 of 24.0 GiB, CPU 0.5 of 51.2 GiB`: every device that holds something."""
    words = {"fits": "fits", "does_not_fit": "does not fit", "unknown": "unknown"}[answer.verdict]
    parts = []
    for device in answer.devices:
        if not device.required_bytes:
            continue
        cap = device.available_bytes
        limit = f" of {format_size(cap)}" if cap is not None else ""
        parts.append(f"{device.name} {format_size(device.required_bytes)}{limit}")
    text = f"{words} at {answer.layout.params.n_ctx:,} tokens: {', '.join(parts) or 'nothing to hold'}"
    pool = answer.request.budget.combined_bytes
    if pool is None:
        return text
    needed = sum(d.required_bytes for d in answer.devices)
    return f"{text}; {format_size(needed)} of {format_size(pool)} in one pool"


def notes_of(answer: Plan) -> list[str]:
    """What is worth saying beside the numbers: of the layout, of the disk, and what is not known."""
    found = (
        _projector_too(answer),
        beyond_trained(answer),
        weights_alone(answer) if answer.failures else None,
        _read_again(answer),
        _may_grow(answer),
        _one_memory(answer),
        _larger_than_devices(answer),
        _fits_itself(answer),
    )
    return [*answer.layout.notes, *(note for note in found if note), *answer.reasons]


def _projector_too(answer: Plan) -> str | None:
    """That a projector is counted which the settings did not name."""
    projector = answer.request.settings.mmproj
    if projector is None or not projector.startswith("hf://"):
        return None
    name = projector.rpartition("/")[2].partition("@")[0]
    return f"-hf loads the repository's projector {name} too, and it is counted; --no-mmproj leaves it away"


def beyond_trained(answer: Plan) -> str | None:
    """That a sequence may grow longer than any that the model was trained with."""
    trained, n_ctx = answer.request.model.n_ctx_train, answer.layout.params.n_ctx_seq
    if not trained or n_ctx <= round_up(trained, N_CTX_PADDING):
        return None
    return f"a context of {n_ctx:,} tokens is beyond the {trained:,} that the model was trained with"


def _one_memory(answer: Plan) -> str | None:
    """That rows of devices are parts of one memory, and what they take of it together."""
    shared = shared_memory(answer)
    if shared is None or any(f.device == POOL for f in answer.failures):
        return None
    names = [d.name for d in answer.request.machine.devices if d.unified]
    size = f"{format_size(shared.required_bytes)} of {format_size(shared.available_bytes)}"
    return f"{' and '.join([*names, HOST])} share one memory: together they take {size}"


def _may_grow(answer: Plan) -> str | None:
    """That a server that fits after loading may outgrow RAM once its prompt cache and checkpoints are full."""
    if answer.verdict != "fits" or answer.request.described is not None:
        return None
    from budget.memory.host import host_memory

    may_use = next((d.available_bytes for d in answer.devices if d.name == HOST), None)
    account = host_memory(answer.request.model, answer.request.settings, answer.layout)
    worst = account.worst_bytes - account.of_kind("file pages")[1]
    if may_use is None or worst <= may_use:
        return None
    return f"RAM may grow to {format_size(worst)} as prompts are kept (--host shows what); -cram and -ctxcp bound it"


def _fits_itself(answer: Plan) -> str | None:
    """What llama-server would do of itself where what was asked for does not fit: `--fit` is on by default."""
    settings, layout = answer.request.settings, answer.layout
    devices = [d.name for d in layout.devices]
    short = any(f.device in devices for f in answer.failures)
    if not short or not settings.fit or answer.request.described is not None or weights_alone(answer):
        return None
    may = [
        *(["shorten the context"] if not settings.n_ctx and settings.fit_ctx != FIT_CTX_FULL else []),
        *(["move layers to RAM"] if _may_move(settings) else []),
    ]
    if not may:
        return None
    return (
        f"llama.cpp's own --fit, which is on, would {' and '.join(may)} rather than load this: "
        "budget advise looks for settings that fit, -fit off keeps these"
    )


def _may_move(settings: Settings) -> bool:
    """Whether `--fit` may choose layers: it changes nothing that was given."""
    return (
        settings.n_gpu_layers == N_GPU_LAYERS_AUTO
        and not settings.tensor_split
        and not settings.tensor_buft_overrides
        and settings.split_mode == "layer"
    )


def _larger_than_devices(answer: Plan) -> str | None:
    """Devices that would hold more than they have, where the budget is one pool and says nothing of them."""
    if answer.request.budget.combined_bytes is None:
        return None
    sizes = memory_of(answer.request.machine)
    over = [
        f"{d.name} would hold {format_size(d.required_bytes)} and has {format_size(sizes[d.name] or 0)}"
        for d in answer.devices
        if sizes.get(d.name) is not None and d.required_bytes > (sizes[d.name] or 0)
    ]
    if not over:
        return None
    return f"the budget is one pool and limits no single device, but {'; '.join(over)}: cap them with --budget auto"


def weights_alone(answer: Plan) -> str | None:
    """That the weights alone are more than everything that may be used, in a sentence; None where they are not."""
    request = answer.request
    room = usable_bytes(answer)
    described = request.described
    size = sum(t.nbytes for t in request.model.tensors) if described is None else described.weights_bytes
    size = min(size, sum(d.weights_bytes for d in answer.devices))  # some blocks are not loaded
    if room is None or size <= room:
        return None
    return f"the weights alone are {format_size(size)}, the machine may use {format_size(room)}"


def usable_bytes(answer: Plan) -> int | None:
    """What all devices and RAM may hold together, bytes; None where one has no limit or is not known."""
    request = answer.request
    if request.budget.combined_bytes is not None:
        return sum(d.required_bytes for d in answer.devices) + headroom_bytes(answer)
    pool = next((f for f in answer.failures if f.device == POOL), None)
    caps = [d.available_bytes for d in answer.devices]
    if pool is not None:
        return pool.available_bytes
    return None if None in caps else sum(cap for cap in caps if cap is not None)


def required_on(answer: Plan, name: str) -> int:
    """Bytes on the device of that name, as a shortfall has it: `total`, and the memory that several share, too."""
    if name == POOL:
        shared = shared_memory(answer)
        return 0 if shared is None else shared.required_bytes
    return sum(d.required_bytes for d in answer.devices if name in (d.name, TOTAL))


def what_to_give(answer: Plan) -> list[str]:
    """What would make an unknown answer known, in sentences; empty where it is known."""
    if not answer.reasons:
        return []
    request = answer.request
    found = []
    names = [d.name for d in answer.devices if d.fits is None and d.required_bytes]
    if names:
        keys = ",".join(f"{'ram' if name == HOST else name}=SIZE" for name in names)
        options = [
            option
            for option, wanted in (("--gpu SIZE", set(names) - {HOST}), ("--ram SIZE", HOST in names))
            if wanted
        ]
        found.append(f"Say what may be used: --budget {keys}, or describe the machine: {' '.join(options)}")
    described = request.described
    params = answer.layout.params
    if described is not None and described.cache_bytes_per_token(params.type_k, params.type_v) is None:
        found.append("Say what the cache takes: --layers, --kv-heads and --head-dim, or --kv-bytes-per-token")
    if described is None and (request.model.arch is None or request.model.arch.memory == "unsupported"):
        found.append("Say whose memory rules hold: --assume ARCH")
    return found


def unknown_answer(answer: Plan) -> UnknownAnswerError:
    """The error that an unknown answer is where nothing but a known one will do."""
    return UnknownAnswerError("; ".join(answer.reasons), hint="; ".join(what_to_give(answer)) or None)


def memory_of(machine: Machine) -> dict[str, int | None]:
    """What each device and the host have free, else in total, bytes; None where neither is known."""
    host = machine.host
    ram = host.ram_available_bytes if host.ram_available_bytes is not None else host.ram_total_bytes
    sizes = {d.name: d.total_bytes if d.free_bytes is None else d.free_bytes for d in machine.devices}
    return {HOST: ram, **sizes}


def _read_again(answer: Plan) -> str | None:
    """Weights mapped from the file that RAM cannot keep: llama.cpp starts all the same, and is slow."""
    mapped = sum(b.weights_bytes for b in answer.layout.buffers if b.name == "CPU_Mapped")
    if not mapped or "mlock" in answer.request.settings.load_mode:
        return None
    short = {f.device: f.short_bytes for f in answer.failures}
    if set(short) != {HOST} or short[HOST] > mapped:
        return None
    return (
        f"RAM is short by {format_size(short[HOST])} of {format_size(mapped)} of weights that are pages of the "
        "file: llama.cpp starts, but they will be read from disk again and again"
    )
