"""Adapter for contenox's `modeld/capacity` (Go)."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any

from budget.errors import UsageError
from budget.gguf.types import BY_NAME
from budget.machine.device import Device, Host, Machine
from budget.planning.capacity import resolve_capacity
from budget.planning.config import resolve_config
from budget.planning.curve import Curve, line, windowed
from budget.planning.described import Described, kv_bytes_per_token, model_of
from budget.planning.described_layout import lay_out_described
from budget.planning.policy import Policy, host_cold_bytes, max_resident_bytes, reserve_bytes, usable_bytes
from budget.runtime.settings import CACHE_TYPES, Settings
from budget.store.config import read_config
from budget.units import parse_size
from reference.case import REFUSED, Adapter, Difference, refuses

DEFAULT_HEADROOM = 0.1
"""Theirs: an input of ours, which holds nothing back unasked."""
SPELLING = {"": "f16", "fp16": "f16", "fp32": "f32"}
GPU_KINDS = ("gpu", "igpu", "accel")


def kv_type(name: str) -> Any:
    name = SPELLING.get(name, name)
    if name not in CACHE_TYPES:
        raise UsageError(f"no such cache type: {name}")
    return BY_NAME[name]


def kv_bytes(inputs: dict[str, Any]) -> int:
    return kv_bytes_per_token(
        inputs["NLayers"], inputs["NKVHeads"], inputs["HeadDim"], kv_type(inputs["KVType"])
    )


def layer_curve(profile: dict[str, Any]) -> Curve:
    n_full, n_window = profile.get("GlobalLayers", 0), profile.get("WindowedLayers", 0)
    each = profile.get("PerLayerKVBytes", 0)
    return windowed(0, n_full * each, n_window * each, profile.get("Window", 0))


def layer_methods(inputs: dict[str, Any]) -> Any:
    profile = inputs["Profile"]
    curve = layer_curve(profile)
    dense = curve.slope_at(1)
    past_window = curve.segments[-1].bytes_per_token == 0 and inputs["Budget"] > dense * profile.get(
        "Window", 0
    )
    limit = inputs["Limit"] if past_window and dense else None
    held = curve.largest(inputs["Budget"], limit=limit or None) if dense else 0
    return {
        "DenseKVBytesPerToken": int(dense),
        "KVBytesForContext": curve.bytes_at(inputs["Ctx"]),
        "MarginalKVBytesPerToken": int(curve.segments[-1].bytes_per_token),
        "Valid": dense > 0,
        "tokensForBudget": held if held is not None else "unbounded" if inputs["Budget"] >= 0 else 0,
    }


REASONS = {
    "max_resident": "request_exceeds_user_limit",
    "reserve": "device_free_memory_below_reserve",
    "kv_unknown": "",
    "model_limit": "model_limit",
    "weights": "weights",
    None: "",
}


def policy_of(inputs: dict[str, Any]) -> Policy:
    headroom = inputs.get("HeadroomFrac", 0) or DEFAULT_HEADROOM
    return Policy(
        headroom=headroom,
        max_resident=inputs.get("UserLimitBytes", 0) or None,
        reserve=inputs.get("MinFreeBytes", 0),
        host_cold=inputs.get("HostColdBudgetBytes", 0),
    )


def profile_valid(inputs: dict[str, Any]) -> bool:
    p = inputs.get("LayerKV") or {}
    return p.get("PerLayerKVBytes", 0) > 0 and p.get("GlobalLayers", 0) + p.get("WindowedLayers", 0) > 0


def resolve(inputs: dict[str, Any]) -> Any:
    policy, free = policy_of(inputs), inputs.get("FreeBytes", 0)
    assert isinstance(policy.reserve, int)
    limit = max_resident_bytes(policy, free)
    usable = usable_bytes(
        free,
        reserve_bytes=policy.reserve,
        max_resident_bytes=limit,
        resident_bytes=inputs.get("ReservedBytes", 0),
        headroom=policy.headroom,
    )
    token, kv = inputs.get("KVBytesPerToken", 0), None
    if profile_valid(inputs):
        kv = layer_curve(inputs["LayerKV"])
        token = token or int(kv.slope_at(1))
    elif token:
        kv = line(0, token)
    request, model = inputs.get("Request", 0), inputs.get("ModelMaxCtx", 0)
    answer = resolve_capacity(
        usable_bytes=usable,
        weights_bytes=inputs.get("WeightsBytes", 0),
        overhead_bytes=inputs.get("OverheadBytes", 0),
        kv=kv,
        n_ctx_model=model or None,
        n_ctx_requested=request or None,
        host_cold_bytes=host_cold_bytes(policy, Host()),
        max_resident_bytes=limit,
        reserve_is_short=0 < policy.reserve >= free,
    )
    memory = answer.n_ctx_memory
    if memory is None:  # theirs has no word for unbounded: windows alone are bounded by the limit
        memory = 0 if kv is None else request or model or inputs["LayerKV"]["Window"]
    by_memory = "request_exceeds_memory_budget" if request else "model_context_exceeds_memory_budget"
    return {
        "ModelMaxContext": model,
        "EffectiveContext": answer.n_ctx,
        "MemoryContextTokens": memory,
        "HotContextTokens": answer.n_ctx_hot,
        "PlannerEffectiveContext": answer.n_ctx_planner,
        "KVBytesPerToken": token,
        "FreeBytes": free,
        "WeightsBytes": inputs.get("WeightsBytes", 0),
        "OverheadBytes": inputs.get("OverheadBytes", 0),
        "ReservedBytes": inputs.get("ReservedBytes", 0),
        "UserLimitBytes": limit or 0,
        "MinFreeBytes": policy.reserve,
        "HostColdBudgetBytes": host_cold_bytes(policy, Host()),
        "UsableBytes": answer.usable_bytes,
        "RequiredBytes": answer.required_bytes,
        "Clamped": answer.clamped,
        "Reason": by_memory if answer.reason == "memory" else REASONS[answer.reason],
    }


def negative(inputs: dict[str, Any]) -> bool:
    numbers = [v for v in inputs.values() if isinstance(v, int | float)]
    return any(n < 0 for n in (*numbers, *(inputs.get("LayerKV") or {}).values()))


def base(inputs: dict[str, Any]) -> int:
    return int(inputs.get("WeightsBytes", 0) + inputs.get("OverheadBytes", 0))


def kv_unknown(inputs: dict[str, Any]) -> bool:
    return not inputs.get("KVBytesPerToken", 0) and not profile_valid(inputs)


def model_binds(case: dict[str, Any]) -> bool:
    """The trained context, not memory, is what a request exceeds; no limit of the user's comes first."""
    expected = case["expected"]
    model, request = expected["ModelMaxContext"], case["inputs"].get("Request", 0)
    return bool(
        expected["Reason"] == "request_exceeds_memory_budget"
        and 0 < model < request
        and expected["EffectiveContext"] == model
    )


BLOCK_BYTES = {"q8_0": 34, "q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "iq4_nl": 18}
"""By hand: bytes of 32 elements."""


def real_blocks(ours: Any, case: dict[str, Any]) -> bool:
    i = case["inputs"]
    width = i["NKVHeads"] * i["HeadDim"]
    if width % 32:
        return bool(ours == REFUSED)
    return bool(ours == 2 * i["NLayers"] * (width // 32) * BLOCK_BYTES[i["KVType"]])


RESOLVE = (
    Difference(
        name="out-of-range",
        reason="negative numbers and a headroom of 1 or more are refused; theirs reads them as unset, or adds them",
        applies=lambda c: negative(c["inputs"]) or c["inputs"].get("HeadroomFrac", 0) >= 1,
        holds=refuses,
    ),
    Difference(
        name="weights-without-cache",
        reason="weights are compared with memory even where the cache is not known; theirs serves the whole window",
        applies=lambda c: kv_unknown(c["inputs"]) and base(c["inputs"]) > c["expected"]["UsableBytes"],
        holds=lambda a, _c: a["EffectiveContext"] == 0 and a["Clamped"] and a["Reason"] != "",
    ),
    Difference(
        name="reason-names-the-model",
        reason="where the trained context binds, the reason says so; theirs names memory",
        applies=model_binds,
        holds=lambda a, c: a == {**c["expected"], "Reason": "model_limit"},
    ),
)
LAYERS = (
    Difference(
        name="out-of-range",
        reason="a negative context is refused; theirs answers 0",
        applies=lambda c: c["inputs"]["Ctx"] < 0 or min(c["inputs"]["Profile"].values(), default=0) < 0,
        holds=refuses,
    ),
    Difference(
        name="windows-without-limit",
        reason="windows alone without a limit are bounded by nothing, and we say so; theirs answers the window",
        applies=lambda c: not c["inputs"]["Profile"].get("GlobalLayers", 0)
        and (c["inputs"]["Limit"] <= 0 or c["inputs"]["Budget"] == c["expected"]["DenseKVBytesPerToken"]
        * c["inputs"]["Profile"].get("Window", 0))
        and c["inputs"]["Profile"].get("Window", 0) > 0 and c["expected"]["Valid"]
        and c["inputs"]["Budget"] >= c["expected"]["DenseKVBytesPerToken"] * c["inputs"]["Profile"]["Window"],
        holds=lambda a, _c: a["tokensForBudget"] == "unbounded",
    ),
)  # fmt: skip
KV = (
    Difference(
        name="out-of-range",
        reason="a dimension below 1 is refused; theirs reads it as unknown, and unknown passes",
        applies=lambda c: min(c["inputs"][k] for k in ("NLayers", "NKVHeads", "HeadDim")) <= 0
        and not (c["inputs"]["NLayers"] == 0 and min(c["inputs"]["NKVHeads"], c["inputs"]["HeadDim"]) > 0),
        holds=refuses,
    ),
    Difference(
        name="unknown-types",
        reason="a type that llama.cpp does not have is refused; theirs takes 2 bytes",
        applies=lambda c: SPELLING.get(c["inputs"]["KVType"], c["inputs"]["KVType"]) not in CACHE_TYPES,
        holds=refuses,
    ),
    Difference(
        name="real-blocks",
        reason="a quantised cache takes whole blocks: q8_0 34 bytes per 32 elements, q4_0 18; theirs: 1 or 2 each",
        applies=lambda c: c["inputs"]["KVType"] in BY_NAME and BY_NAME[c["inputs"]["KVType"]].quantized,
        holds=real_blocks,
    ),
)  # fmt: skip

_PLAIN = re.compile(r"\s*(\d+(\.\d+)?|\.\d+)\s*([kmg]i?b|b)?\s*\Z", re.I)
_BARE = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([kmgt])\s*\Z", re.I)
_TERA = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*ti?b\s*\Z", re.I)


def too_large(case: dict[str, Any]) -> bool:
    return isinstance(case["expected"], int) and case["expected"] < 0


PARSE = (
    Difference(
        name="bare-letters",
        reason="K, M, G and T alone are binary, as llama.cpp and Docker read them; theirs are decimal, T unknown",
        applies=lambda c: bool(_BARE.match(c["inputs"]["S"])),
        holds=lambda a, c: bool(m := _BARE.match(c["inputs"]["S"]))
        and a == int(float(m[1]) * 1024 ** (" kmgt".index(m[2].lower()))),
    ),
    Difference(
        name="terabytes",
        reason="TB and TiB are sizes; theirs refuses them",
        applies=lambda c: bool(_TERA.match(c["inputs"]["S"])),
        holds=lambda a, _c: isinstance(a, int) and a > 10**9,
    ),
    Difference(
        name="nonsense",
        reason="blank text, signs, exponents, hexadecimal, underscores, Ki/Mi/Gi, inf, nan and sizes beyond 8 EiB are "
        "refused with the text whole; theirs reads 0, a number, or a negative one",
        applies=lambda c: not isinstance(c["expected"], dict) and (not _PLAIN.match(c["inputs"]["S"]) or too_large(c)),
        holds=lambda a, c: a == REFUSED or (too_large(c) and 2**53 < a < 2**63),
    ),
    Difference(
        name="whole-bytes",
        reason="sizes are exact; theirs pass through floating point",
        applies=lambda c: bool(_PLAIN.match(c["inputs"]["S"])),
        holds=lambda a, c: 0 < abs(a - c["expected"]) <= 1 + (c["expected"] >> 52),
    ),
)  # fmt: skip


def refused(expected: Any) -> Any:
    return REFUSED if isinstance(expected, dict) and "error" in expected else expected


def resident_default(inputs: dict[str, Any]) -> Any:
    given, device = inputs["Policy"], inputs["Dev"]
    is_gpu = device.get("kind", "").strip().lower() in GPU_KINDS
    policy = Policy(
        max_resident=given.get("max_resident_bytes", 0) or "auto",
        reserve=given.get("min_free_bytes", 0) or "auto",
    )
    answer = {
        "max_resident_bytes": max_resident_bytes(policy, device.get("free_bytes", 0)),
        "min_free_bytes": reserve_bytes(policy, device.get("total_bytes", 0) or None, is_gpu=is_gpu),
    }
    rest = {k: v for k, v in given.items() if k not in answer}
    return rest | {k: v for k, v in answer.items() if v}


def cold_default(inputs: dict[str, Any]) -> Any:
    given = inputs["Policy"]
    policy = Policy(host_cold=given.get("host_cold_budget_bytes", 0) or "auto")
    size = host_cold_bytes(policy, Host(ram_available_bytes=inputs["Host"].get("free_bytes", 0)))
    return {**given, "host_cold_budget_bytes": size} if size else given


FILE_KEYS = {
    "max_resident_bytes": "max_resident", "max_resident": "max_resident", "min_free_bytes": "reserve",
    "reserve_free": "reserve", "host_cold_budget_bytes": "host_cold", "host_cold_budget": "host_cold",
    "min_hot_context_tokens": "min_hot_context", "headroom_frac": "headroom",
}  # fmt: skip
"""Their keys; of two for one value the second, a text, wins."""
ENV_KEYS = {
    "CONTENOX_MODELD_MEM_MAX": "BUDGET_MAX_RESIDENT", "CONTENOX_MODELD_MEM_RESERVE": "BUDGET_RESERVE",
    "CONTENOX_MODELD_MEM_COLD": "BUDGET_HOST_COLD", "CONTENOX_MODELD_MEM_HEADROOM": "BUDGET_HEADROOM",
    "CONTENOX_MODELD_MIN_HOT_CONTEXT": "BUDGET_MIN_HOT_CONTEXT",
}  # fmt: skip
THEIR_NAMES = {
    "max_resident": "max_resident_bytes", "reserve": "min_free_bytes", "host_cold": "host_cold_budget_bytes",
    "min_hot_context": "min_hot_context_tokens", "headroom": "headroom_frac",
}  # fmt: skip


def memory_of(case_inputs: dict[str, Any]) -> dict[str, Any] | None:
    """What their file holds under `memory`; None where it is not JSON."""
    text = case_inputs.get("ModeldJSON")
    if text is None:
        return {}
    try:
        data = json.loads(text)
    except ValueError:
        return None
    memory = data.get("memory", {}) if isinstance(data, dict) else {}
    return memory if isinstance(memory, dict) else {"memory": memory}


def load_policy(inputs: dict[str, Any]) -> Any:
    memory = memory_of(inputs)
    if memory is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "budget.toml"
            path.write_text(inputs["ModeldJSON"], encoding="utf-8")
            return read_config(path)
    file: dict[str, Any] = {}
    for key in [*FILE_KEYS, *memory]:
        if key in memory:
            file[FILE_KEYS.get(key, key)] = memory[key]
    env = {ENV_KEYS.get(k, k): v for k, v in inputs["Env"].items()}
    config = resolve_config(file=file, env=env)
    answer = {}
    for name, theirs in THEIR_NAMES.items():
        setting = config.settings[name]
        if setting.origin != "default":
            off = name == "min_hot_context" and setting.value == 0
            answer[theirs] = -1 if off else setting.value
    return answer


def is_share(given: Any) -> bool:
    try:
        return not isinstance(given, bool) and 0 <= float(given) < 1
    except (TypeError, ValueError):
        return False


def odd_values(case: dict[str, Any]) -> bool:
    """Values that we refuse: of the wrong type, out of range, no size."""
    inputs, memory = case["inputs"], memory_of(case["inputs"])
    if memory is None or any(k not in FILE_KEYS for k in memory):
        return True
    sizes = [v for k, v in memory.items() if k not in ("headroom_frac", "min_hot_context_tokens")]
    env = {ENV_KEYS.get(k, k): v for k, v in inputs["Env"].items() if v.strip()}
    sizes += [env[k] for k in ("BUDGET_MAX_RESIDENT", "BUDGET_RESERVE", "BUDGET_HOST_COLD") if k in env]
    fractions = [memory.get("headroom_frac", 0), env.get("BUDGET_HEADROOM", 0)]
    counts = [memory.get("min_hot_context_tokens", 0), env.get("BUDGET_MIN_HOT_CONTEXT", 0)]
    return (
        any(not _PLAIN.match(str(v)) and not _BARE.match(str(v)) for v in sizes)
        or any(not is_share(v) for v in fractions)
        or any(not re.fullmatch(r"\d+", str(v)) for v in counts)
    )


def zero_values(case: dict[str, Any]) -> bool:
    inputs, memory = case["inputs"], memory_of(case["inputs"]) or {}
    values = [v for k, v in memory.items() if k != "min_hot_context_tokens"]
    values += [v for k, v in inputs["Env"].items() if k != "CONTENOX_MODELD_MIN_HOT_CONTEXT"]
    return any(re.fullmatch(r"0+(\.0+)?", str(v)) for v in values)


def bare_values(case: dict[str, Any]) -> bool:
    values = [*(memory_of(case["inputs"]) or {}).values(), *case["inputs"]["Env"].values()]
    return any(_BARE.match(str(v)) for v in values)


LOAD = (
    Difference(
        name="errors-are-errors",
        reason="a file that cannot be read, an unknown key, or a value that makes no sense is an error that names it; "
        "theirs goes on with defaults",
        applies=odd_values,
        holds=refuses,
    ),
    Difference(
        name="zero-is-a-value",
        reason="0 is a value and overrides what is below it; theirs cannot unset",
        applies=zero_values,
        holds=lambda a, c: a != c["expected"] and {k: v for k, v in a.items() if v}.items()
        <= {**c["expected"], **a}.items(),
    ),
    Difference(
        name="bare-letters",
        reason=PARSE[0].reason,
        applies=bare_values,
        holds=lambda a, c: a.keys() == c["expected"].keys(),
    ),
)  # fmt: skip


def headroom_env(inputs: dict[str, Any]) -> Any:
    text = inputs["Env"].get("CONTENOX_MODELD_MEM_HEADROOM", "")
    return resolve_config(env={"BUDGET_HEADROOM": text}).policy.headroom


def valid_headroom(case: dict[str, Any]) -> bool:
    return bool(
        re.fullmatch(r"0?\.\d*[1-9]\d*", case["inputs"]["Env"].get("CONTENOX_MODELD_MEM_HEADROOM", ""))
    )


HEADROOM = (
    Difference(
        name="nothing-hidden",
        reason="nothing is held back unasked, and a value out of range is an error; theirs takes 0.1",
        applies=lambda c: not valid_headroom(c),
        holds=lambda a, _c: a in (0, REFUSED),
    ),
)


def gpu_weights(inputs: dict[str, Any]) -> int:
    """Weight bytes on the GPU with some layers offloaded."""
    blocks = inputs["BlockCount"]
    described = Described(weights_bytes=inputs["Weights"], n_layer=blocks or None, kv_bytes_per_token=0)
    machine = Machine(host=Host(), devices=(Device(name="CUDA0", free_bytes=1 << 40),))
    settings = Settings(n_ctx=256, n_gpu_layers=inputs["GpuLayers"])
    return lay_out_described(described, model_of(described), settings, machine).on("CUDA0").weights_bytes


GPU_WEIGHTS = (
    Difference(
        name="out-of-range",
        reason="negative weights are refused, and a negative layer count means what llama.cpp means by it",
        applies=lambda c: min(c["inputs"].values()) < 0,
        holds=lambda a, c: a == REFUSED or c["inputs"]["GpuLayers"] < 0 or c["inputs"]["BlockCount"] < 0,
    ),
    Difference(
        name="whole-bytes",
        reason="layers sum to the whole file; theirs drops the remainder of a division, or charges all of a tiny file",
        applies=lambda c: c["inputs"]["BlockCount"] > 0 and c["inputs"]["GpuLayers"] > 0
        and c["inputs"]["Weights"] % (c["inputs"]["BlockCount"] + 1) != 0,
        holds=lambda a, c: abs(a - c["inputs"]["Weights"] * min(1, c["inputs"]["GpuLayers"]
        / (c["inputs"]["BlockCount"] + 1))) <= c["inputs"]["BlockCount"],
    ),
)  # fmt: skip
ADAPTERS = {
    "KVBytesPerToken": Adapter(answer=kv_bytes, differences=KV),
    "LayerKVProfile methods": Adapter(answer=layer_methods, differences=LAYERS),
    "Resolve": Adapter(answer=resolve, differences=RESOLVE),
    "ParseBytes": Adapter(answer=lambda i: parse_size(i["S"]), normal=refused, differences=PARSE),
    "WithResidentDefault": Adapter(
        answer=resident_default,
        differences=(
            Difference(
                name="out-of-range",
                reason="a negative limit is refused; theirs reads it as unset",
                applies=lambda c: any(n < 0 for n in c["inputs"]["Policy"].values()),
                holds=refuses,
            ),
        ),
    ),
    "WithHostColdDefaults": Adapter(
        answer=cold_default,
        differences=(
            Difference(
                name="out-of-range",
                reason="a negative size is refused; theirs reads it as unset",
                applies=lambda c: any(n < 0 for n in c["inputs"]["Policy"].values()),
                holds=refuses,
            ),
        ),
    ),
    "LoadPolicy": Adapter(answer=load_policy, differences=LOAD),
    "HeadroomFromEnv": Adapter(answer=headroom_env, differences=HEADROOM),
    "estimateLlamaGPUWeights": Adapter(answer=gpu_weights, differences=GPU_WEIGHTS),
}
_SERVICE = "their service's flow, newer than their documentation; its parts have cases of their own"
_RUNTIME = "caller: their runtime, not the planner"
SKIPPED = {
    "DeviceSnapshot.IsAccelerator": "kinds of devices are a fixed set here; newer than their documentation",
    "Snapshot": "their probe; ours reads devices itself",
    "llama.Service.Describe+resolveConfig": _SERVICE,
    "resolveGPULayersForBudget": _SERVICE,
    "effectiveMinHotContext": _SERVICE,
    "ggufParams.layerSplit/headDim/kvHeads": "their reading of a header; ours is llama.cpp's",
    "llamaGPUComputeReserveBytes": "their reserve for compute buffers, which we replay; newer than their documentation",
    "humanBytes": "the form of a size for people",
    "openvino.Service.Describe+resolveConfig": _SERVICE,
    "openvinoDeviceSnapshot": "OpenVINO, which llama.cpp's plan does not use",
    "deriveOpenVINOSchedulerCacheSizeGiB": "OpenVINO, which llama.cpp's plan does not use",
    "ResolvePlannerEffectiveContext": _RUNTIME,
    "DeriveEvictionBudget": "which tokens their runtime drops from its cache",
}
CALLERS = "caller: contenox's own programs, which their documentation pages do not name"
