"""Plans as the JSON that cli.md promises: sizes are integers of bytes, unknown is null."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from budget.model.architectures import VALIDATED_COMMIT
from budget.record import as_dict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from budget.memory.extra import Extra
    from budget.memory.layout import Buffer
    from budget.model.facts import Model
    from budget.planning.described import Described
    from budget.planning.fit import DevicePlan, Plan
    from budget.planning.usage import Shortfall

ENGINE = {"name": "llama.cpp", "validated_commit": VALIDATED_COMMIT}


def dumps(data: object, *, ascii_only: bool = False) -> str:
    """One JSON document, indented; with `ascii_only`, every other character is an escape."""
    return json.dumps(data, indent=2, ensure_ascii=ascii_only)


def fit_object(
    answer: Plan, *, path: str, file_bytes: int | None, max_ctx: int | None, suggestions: list[dict[str, Any]]
) -> dict[str, Any]:
    """`budget/fit/v1`."""
    from budget.planning.summary import notes_of
    from budget.render.host import host_object

    return {
        "schema": "budget/fit/v1",
        "verdict": answer.verdict,
        "engine": ENGINE,
        "model": model_object(
            answer.request.model, path=path, file_bytes=file_bytes, described=answer.request.described
        ),
        "settings": settings_object(answer),
        "budget": {
            "mode": answer.request.budget.mode,
            "text": answer.request.budget.text,
            "combined_bytes": answer.request.budget.combined_bytes,
        },
        "devices": [device_object(d) for d in answer.devices],
        "buffers": [buffer_object(b) for b in answer.layout.buffers],
        "extras": [extra_object(e) for e in answer.extras],
        "host_memory": host_object(answer),
        "failures": failures_object(answer.failures),
        "max_ctx": max_ctx,
        "suggestions": suggestions,
        "notes": notes_of(answer),
    }


def model_object(
    model: Model, *, path: str, file_bytes: int | None, described: Described | None = None
) -> dict[str, Any]:
    """What a plan says of its model."""
    return {
        "path": path,
        "architecture": model.architecture,
        "n_layer": model.n_layer if described is None else described.n_layer,
        "n_ctx_train": model.n_ctx_train or None,
        "file_bytes": file_bytes,
    }


def settings_object(answer: Plan) -> dict[str, Any]:
    """The settings as llama.cpp resolves them."""
    settings, params = answer.request.settings, answer.layout.params
    return {
        "n_ctx": params.n_ctx,
        "n_ctx_seq": params.n_ctx_seq,
        "n_seq_max": params.n_seq_max,
        "n_batch": params.n_batch,
        "n_ubatch": params.n_ubatch,
        "n_gpu_layers": settings.n_gpu_layers,
        "split_mode": settings.split_mode,
        "type_k": params.type_k.name,
        "type_v": params.type_v.name,
        "flash_attn": answer.layout.compute.flash_attn,
        "kv_unified": params.kv_unified,
        "offload_kqv": params.offload_kqv,
        "swa_full": params.swa_full,
        "load_mode": settings.load_mode,
    }


def failures_object(failures: Sequence[Shortfall]) -> list[dict[str, Any]]:
    """What is missing where."""
    return [{**as_dict(f), "short_bytes": f.short_bytes} for f in failures]


def device_object(device: DevicePlan) -> dict[str, Any]:
    """One device's row."""
    return {
        "name": device.name,
        "kind": device.kind,
        "weights_bytes": device.weights_bytes,
        "context_bytes": device.context_bytes,
        "compute_bytes": device.compute_bytes,
        "output_bytes": device.output_bytes,
        "extras_bytes": device.extras_bytes,
        "overhead_bytes": device.overhead_bytes,
        "reserve_bytes": device.reserve_bytes,
        "required_bytes": device.required_bytes,
        "available_bytes": device.available_bytes,
        "fits": device.fits,
        "basis": device.basis,
    }


def extra_object(extra: Extra) -> dict[str, Any]:
    """One part of a projector, adapter or draft model."""
    return {
        "part": extra.part,
        "kind": extra.kind,
        "device": extra.device,
        "buffer": extra.buffer,
        "size_bytes": extra.size_bytes,
        "at_load_bytes": extra.at_load_bytes,
        "basis": extra.basis,
        "source": extra.source,
    }


def buffer_object(buffer: Buffer) -> dict[str, Any]:
    """One llama.cpp buffer."""
    return {
        "name": buffer.name,
        "device": buffer.device,
        "weights_bytes": buffer.weights_bytes,
        "context_bytes": buffer.context_bytes,
        "compute_bytes": buffer.compute_bytes,
        "output_bytes": buffer.output_bytes,
    }
