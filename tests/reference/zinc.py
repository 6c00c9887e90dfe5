"""Adapter for zinc's `memory_plan.zig` and those of its callers that a capability belongs to."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from budget.gguf.types import BY_NAME, F32
from budget.planning.ceiling import auto_context_of_curve, context_ceiling
from budget.planning.curve import Curve, line
from budget.planning.described import attending_layers, kv_bytes_per_token
from budget.planning.request import finish_reason, remaining_tokens, request_budget
from budget.planning.summary import tightness
from budget.planning.usage import check as check_usage
from reference.case import REFUSED, Adapter, Difference, refuses

UTILIZATION = Fraction(85, 100)
ALIGN, FLOOR = 512, 4096
"""Their constants: options of ours."""
PAGE_ENTRY_BYTES = 4
"""Their page table, per token, host visible."""


def per_token(config: dict[str, Any], n_layer: int | None = None) -> int:
    """Bytes of f32 K and V for one token."""
    layers = config["n_layers"] if n_layer is None else n_layer
    return kv_bytes_per_token(layers, config["n_kv_heads"], config["head_dim"], F32)


def scratch(config: dict[str, Any]) -> tuple[int, int, int]:
    """Fixed device bytes, host bytes and state bytes of their own engine: what a user of ours gives as
    `--fixed-bytes`. Only an input here; the cases about these bytes themselves are differences."""
    hidden, logits = 4 * config["hidden_dim"], 4 * config["vocab_size"]
    q, kv = (4 * config[n] * config["head_dim"] for n in ("n_heads", "n_kv_heads"))
    d_inner, inter = config["ssm_d_inner"], config["intermediate_dim"] or 4 * config["hidden_dim"]
    conv = d_inner + 2 * config["ssm_n_group"] * config["ssm_d_state"] if d_inner else 0
    widest = max(inter, config["shared_expert_intermediate_dim"] or inter, d_inner or inter, conv)
    used = config["n_experts_used"] or 8
    gate, down = max(4 * widest, used * inter * 4), max(hidden, used * hidden)
    router, attn = 4 * (config["n_experts"] or 1), max(2 * q, 4 * conv)
    ssm, rank = 0, config["ssm_dt_rank"]
    if d_inner and rank:
        ssm = config["n_layers"] * ((config["ssm_d_conv"] - 1) * conv * 4 + rank * (d_inner // rank) ** 2 * 4)
    device = 6 * hidden + logits + q + 2 * kv + attn + 3 * gate + down + router + ssm
    host = logits + hidden + router + max(hidden, 4 * (d_inner or config["hidden_dim"])) + 8 * used
    return device, host, ssm


def curves(config: dict[str, Any], weights: int = 0) -> tuple[Curve, Curve, Curve]:
    """Device-local, host-visible and unified bytes against context."""
    device, host, _ = scratch(config)
    token = per_token(config)
    return (
        line(weights + device, token),
        line(host, PAGE_ENTRY_BYTES),
        line(weights + device + host, token + PAGE_ENTRY_BYTES),
    )


def from_profile(inputs: dict[str, Any], *, unified: bool) -> Curve:
    p, weights = inputs["profile"], inputs["weights_bytes"]
    fixed, token = p["fixed_device_local_bytes"], p["device_local_bytes_per_token"]
    if unified:
        fixed, token = fixed + p["fixed_host_visible_bytes"], token + p["host_visible_bytes_per_token"]
    return line(weights + fixed, token)


def profile(inputs: dict[str, Any]) -> Any:
    config, n_ctx = inputs["config"], inputs["context_tokens"]
    token = per_token(config)
    return {"device_local_bytes_per_token": token, "deviceLocalContextBytes": line(0, token).bytes_at(n_ctx)}


def totals(inputs: dict[str, Any]) -> Any:
    device, _, unified = curves(inputs["config"], inputs["weights_bytes"])
    n_ctx = inputs["context_tokens"]
    return {"totalDeviceLocalBytes": device.bytes_at(n_ctx), "totalUnifiedBytes": unified.bytes_at(n_ctx)}


def with_kv_bytes(inputs: dict[str, Any]) -> Any:
    config = inputs["config"]
    n = attending_layers(config["n_layers"], config["full_attn_interval"], config.get("n_nextn_layers", 0))
    type_ = {4: BY_NAME["f32"], 2: BY_NAME["f16"], 1: BY_NAME["i8"]}[inputs["kv_elem_bytes"]]
    token = kv_bytes_per_token(n, config["n_kv_heads"], config["head_dim"], type_)
    return {"kvLayerCount": n, "device_local_bytes_per_token": token}


def max_context(inputs: dict[str, Any], *, unified: bool) -> int:
    return from_profile(inputs, unified=unified).largest(inputs["budget_bytes"], limit=inputs["ceiling"]) or 0


def ceiling(inputs: dict[str, Any]) -> int | None:
    cap = inputs.get("backend_cap")
    return context_ceiling(
        model=inputs["context_length"], requested=inputs.get("requested"), runtime=cap
    ).n_ctx  # fmt: skip


def request(inputs: dict[str, Any]) -> Any:
    return request_budget(
        n_used=inputs["used"], n_completion=inputs["requested"], n_capacity=inputs["capacity"]
    )


def request_case(inputs: dict[str, Any]) -> Any:
    answer = request(inputs)
    return {"completion_tokens": answer.n_completion, "target_context_tokens": answer.n_ctx_target}


def auto(curve: Curve, budget: int, limit: int) -> Any:
    answer = auto_context_of_curve(curve, budget, ceiling=limit, share=UTILIZATION, align=ALIGN, floor=FLOOR)
    return answer.n_ctx if answer.fits or not limit else {"does_not_fit": answer.n_ctx}


def auto_context(inputs: dict[str, Any]) -> Any:
    curve = from_profile(inputs, unified=False)
    return auto(curve, inputs["device_budget_bytes"], inputs["architectural_ceiling"])


def auto_for_config(inputs: dict[str, Any]) -> Any:
    config, budget = inputs["config"], inputs["device_budget_bytes"]
    device, _, _ = curves(config, inputs["weights_bytes"])
    chosen = auto(device, budget, config["context_length"])
    engine = device.largest(budget, limit=chosen if isinstance(chosen, int) else chosen["does_not_fit"])
    return {"auto_context": chosen, "engine_max_context_at_100pct": engine or 0}


WORDS = {"ok": "ok", "tight": "warn", "short": "fail"}


def fit_status(inputs: dict[str, Any]) -> str:
    return WORDS[tightness(inputs["required"], inputs["budget"])]


def unified_status(required: int, recommended: int, total: int) -> str:
    whole = tightness(required, total)
    return "warn" if whole == "ok" and tightness(required, recommended) == "short" else WORDS[whole]


def estimate_fit(inputs: dict[str, Any]) -> Any:
    config, weights, budget = inputs["config"], inputs["tensor_bytes"], inputs["vram_budget_bytes"]
    device, host, _ = curves(config)
    n_ctx = context_ceiling(
        model=config["context_length"], requested=inputs["requested_context_length"]
    ).n_ctx
    assert n_ctx is not None
    total = device.plus(weights)
    return {
        "weights_bytes": weights,
        "runtime_device_local_bytes": device.bytes_at(n_ctx),
        "host_visible_bytes": host.bytes_at(n_ctx),
        "kv_cache_bytes": device.bytes_at(n_ctx) - device.fixed_bytes,
        "gpu_ssm_bytes": scratch(config)[2],
        "total_device_local_bytes": total.bytes_at(n_ctx),
        "vram_budget_bytes": budget,
        "max_ctx": n_ctx,
        "budget_max_ctx": total.largest(budget, limit=config["context_length"]) or 0,
        "status": WORDS[tightness(total.bytes_at(n_ctx), budget)],
    }


def estimate_unified(inputs: dict[str, Any]) -> Any:
    config, weights, memory = inputs["config"], inputs["tensor_bytes"], inputs["total_memory_bytes"]
    recommended = inputs["recommended_working_set_bytes"] or memory
    _, _, unified = curves(config)
    n_ctx = context_ceiling(
        model=config["context_length"], requested=inputs["requested_context_length"]
    ).n_ctx
    assert n_ctx is not None
    total = unified.plus(weights)
    return {
        "weights_bytes": weights,
        "runtime_unified_bytes": unified.bytes_at(n_ctx),
        "total_unified_bytes": total.bytes_at(n_ctx),
        "recommended_working_set_bytes": recommended,
        "total_memory_bytes": memory,
        "kv_cache_bytes": line(0, per_token(config)).bytes_at(n_ctx),
        "max_ctx": n_ctx,
        "budget_max_ctx": total.largest(recommended, limit=config["context_length"]) or 0,
        "status": unified_status(total.bytes_at(n_ctx), recommended, memory),
    }


def engine_init(inputs: dict[str, Any]) -> Any:
    device, _, _ = curves(inputs["config"], inputs["weights_bytes"])
    wanted = inputs["requested_context"]
    n_ctx = device.largest(inputs["vram_bytes"], limit=wanted)
    return {"max_context_tokens": n_ctx, "trimmed": n_ctx < wanted} if n_ctx else REFUSED


def finish(inputs: dict[str, Any]) -> str:
    answer = request_budget(
        n_used=0, n_completion=inputs["requested_max_tokens"], n_capacity=inputs["effective_max_tokens"]
    )
    return finish_reason(answer, inputs["produced_tokens"])


def admission(inputs: dict[str, Any]) -> Any:
    answer = request_budget(
        n_used=inputs["prompt_tokens"],
        n_completion=inputs["max_tokens"],
        n_capacity=inputs["context_capacity_tokens"],
    )
    if not answer.fits:
        return {"http": 400}
    return {
        "http": 200,
        "completion_tokens": answer.n_completion,
        "target_context_tokens": answer.n_ctx_target,
        "clamped": answer.clamped,
    }


def admission_normal(expected: dict[str, Any]) -> Any:
    keys = ("http", "completion_tokens", "target_context_tokens", "clamped")
    return {k: v for k, v in expected.items() if k in keys}


def parse_context(inputs: dict[str, Any]) -> Any:
    from budget.runtime.command_line import parse_settings

    return {"context_length": parse_settings(inputs["args"])[0].n_ctx or None}


def refused(expected: Any) -> Any:
    return REFUSED if isinstance(expected, dict) and "error" in expected else expected


def no_dims(case: dict[str, Any]) -> bool:
    config = case["inputs"]["config"]
    return not (config["n_kv_heads"] and config["head_dim"])


def fits_bytes(inputs: dict[str, Any]) -> bool:
    from budget.machine.device import Host, Machine
    from budget.planning.budget import resolve_budget

    pool = resolve_budget(inputs["vram_budget_bytes"], Machine(host=Host()))
    return not check_usage(pool, {"CUDA0": inputs["required_vram_bytes"]})


NO_DIMS = Difference(
    name="no-dimensions",
    reason="a model without heads is refused; theirs plans 0 bytes per token, which fits any context",
    applies=no_dims,
    holds=refuses,
)
SCRATCH = Difference(
    name="engine-scratch",
    reason="the fixed buffers are those of llama.cpp, replayed from its graph, or given as --fixed-bytes; theirs are "
    "one-token f32 buffers of their own engine. Bytes per token agree",
    applies=lambda _c: True,
    holds=lambda a, c: all(c["expected"][k] == v for k, v in a.items()),
)
FLOORED = Difference(
    name="floor-that-does-not-fit",
    reason="where not even the floor fits, the verdict is that it does not fit; theirs answers the floor",
    applies=lambda c: not floor_fits(c),
    holds=lambda a, c: a == {"does_not_fit": c["expected"]},
)
EQUAL = Difference(
    name="filled-to-the-byte",
    reason="what fills the budget to the byte fits, here as everywhere; theirs says no when the fixed bytes do and "
    "nothing is needed per token",
    applies=lambda c: c["inputs"]["weights_bytes"] + c["inputs"]["profile"]["fixed_device_local_bytes"]
    == c["inputs"]["budget_bytes"] and not c["inputs"]["profile"]["device_local_bytes_per_token"],
    holds=lambda a, c: a == c["inputs"]["ceiling"],
)  # fmt: skip


def floor_fits(case: dict[str, Any]) -> bool:
    """By hand: fixed bytes and the floor's tokens within the whole budget."""
    i = case["inputs"]
    p, n = i["profile"], min(FLOOR, i["architectural_ceiling"])
    if not n:
        return True
    need = i["weights_bytes"] + p["fixed_device_local_bytes"] + n * p["device_local_bytes_per_token"]
    return bool(need <= i["device_budget_bytes"])


ADAPTERS = {
    "profile+methods": Adapter(answer=profile, differences=(NO_DIMS, SCRATCH)),
    "totals": Adapter(answer=totals),
    "profileWithKvBytes": Adapter(answer=with_kv_bytes),
    "maxContextTokensForDeviceLocalBudget": Adapter(
        answer=lambda i: max_context(i, unified=False), differences=(EQUAL,)
    ),
    "maxContextTokensForUnifiedBudget": Adapter(answer=lambda i: max_context(i, unified=True)),
    "effectiveContextCeiling": Adapter(answer=ceiling),
    "applyRequestedContextLimit": Adapter(answer=ceiling),
    "requestedContextTokens": Adapter(answer=ceiling),
    "clampedCompletionTokens": Adapter(answer=lambda i: request(i).n_completion),
    "requestContextTarget": Adapter(answer=lambda i: request(i).n_ctx_target),
    "requestBudget": Adapter(answer=request_case),
    "remainingContextTokens": Adapter(answer=lambda i: remaining_tokens(i["used"], i["capacity"])),
    "autoContextTokensForDeviceBudget": Adapter(answer=auto_context, differences=(FLOORED,)),
    "autoContextForConfig": Adapter(
        answer=auto_for_config,
        differences=(
            Difference(
                name=FLOORED.name,
                reason=FLOORED.reason,
                applies=lambda c: (
                    c["expected"]["engine_max_context_at_100pct"] < c["expected"]["auto_context"]
                ),
                holds=lambda a, c: a["auto_context"] == {"does_not_fit": c["expected"]["auto_context"]},
            ),
        ),
    ),
    "auto_context_floor_tokens": Adapter(answer=lambda _i: floor_default()),
    "diagnostics.estimateFit": Adapter(answer=estimate_fit),
    "diagnostics.fitStatusForBytes": Adapter(answer=fit_status),
    "diagnostics_metal.fitStatusForUnifiedBytes": Adapter(
        answer=lambda i: unified_status(i["required"], i["recommended_working_set"], i["total_memory"])
    ),
    "diagnostics_metal.estimateUnifiedFit": Adapter(answer=estimate_unified),
    "catalog.fitsGpu": Adapter(answer=fits_bytes),
    "completionFinishReason": Adapter(answer=finish),
    "main.parseArgs context": Adapter(answer=parse_context, normal=refused),
    "server admission (routes.zig)": Adapter(
        answer=admission,
        normal=admission_normal,
        differences=(
            Difference(
                name="empty-prompt",
                reason="a prompt of no tokens uses nothing of the context; whether a server takes it is the server's",
                applies=lambda c: c["inputs"]["prompt_tokens"] == 0,
                holds=lambda a, _c: a["http"] == 200,
            ),
        ),
    ),
    "InferenceEngine.init (Vulkan) context plan": Adapter(answer=engine_init, normal=refused),
}


def floor_default() -> int:
    from budget.planning.config import resolve_config

    return int(resolve_config().value("floor"))


SKIPPED = {
    "model_manager_metal.estimateMemoryUsage": "telemetry of their server",
    "MemoryUsage.activeContextTokens/Bytes": "telemetry of their server",
    "ModelManager.currentMemoryUsage": "telemetry of their server",
    "catalog.supportedOnCurrentGpu": "their list of tested cards",
    "catalog.profileForGpu": "their list of tested cards",
    "kvPageCountForContext": "their paged cache; llama.cpp has none",
    "forward_metal.kvCacheBytesPerToken": "one backend's cache of their engine",
    "loader.extractConfig (fields the planner uses)": "their reading of a header; ours is llama.cpp's",
}
