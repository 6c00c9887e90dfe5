"""Adapter for oxibonsai's `MemoryBudget`."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

from budget.gguf.types import BY_NAME, F16, F32, TYPES
from budget.machine.device import Host, Machine
from budget.planning.budget import resolve_budget
from budget.planning.ceiling import share_of
from budget.planning.curve import Curve, line
from budget.planning.described import Described, kv_bytes_per_token, model_of, weights_bytes
from budget.planning.evict import smallest_set
from budget.planning.fit import Request, plan
from budget.planning.policy import usable_bytes
from budget.planning.quant import type_bits
from budget.planning.summary import one_line
from budget.planning.usage import check
from budget.runtime.settings import Settings
from budget.units import MiB
from reference.case import REFUSED, Adapter, Difference, refuses

KV_SHARE = Fraction(4, 5)
"""Their share of the remainder for K/V: `--utilization` of ours."""
REAL_TYPES = {0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 15, 41}
"""Types whose bits they have right."""
MACHINE = Machine(host=Host(ram_total_bytes=1 << 50, ram_available_bytes=1 << 50))


def bits(inputs: dict[str, Any]) -> Fraction | str:
    """Their bits per weight are an f32."""
    given = inputs["bits_per_weight"]
    return given if isinstance(given, str) else Fraction(struct.unpack("f", struct.pack("f", given))[0])


def estimate(inputs: dict[str, Any]) -> dict[str, int]:
    total = inputs["total_available_mb"] * MiB
    weights = weights_bytes(inputs["model_params"], bits(inputs))
    overhead = min(total // 10, 256 * MiB)  # their margin: `--overhead` of ours
    available = usable_bytes(total, reserve_bytes=weights + overhead)
    cache = share_of(resolve_budget(available, MACHINE), KV_SHARE).combined_bytes
    assert cache is not None
    return {
        "total_system_bytes": total,
        "model_weight_bytes": weights,
        "runtime_overhead": overhead,
        "available_bytes": available,
        "kv_cache_budget": cache,
    }


def cache(inputs: dict[str, Any]) -> Curve:
    if not inputs["num_layers"]:
        raise_no_layers()
    return line(0, kv_bytes_per_token(inputs["num_layers"], inputs["num_heads"], inputs["head_dim"], F16))


def raise_no_layers() -> None:
    """A described model without layers is refused where the option is read."""
    from budget.planning.described import describe_model

    describe_model(weights_bytes_text="1", n_layer=0)


def summary(inputs: dict[str, Any]) -> str:
    figures = estimate(inputs)
    described = Described(weights_bytes=figures["model_weight_bytes"], kv_bytes_per_token=0)
    budget = resolve_budget(figures["total_system_bytes"], MACHINE)
    return one_line(
        plan(
            Request(
                model=model_of(described),
                described=described,
                settings=Settings(n_ctx=4096),
                machine=MACHINE,
                budget=budget,
            )
        )
    )


def kv_4k(inputs: dict[str, Any]) -> Any:
    token = kv_bytes_per_token(inputs["num_layers"], inputs["num_kv_heads"], inputs["head_dim"], F32)
    total = line(inputs["weights_size_bytes"] + inputs["overhead_mib"] * MiB, token)
    return {
        "kv_cache_4k_bytes": total.bytes_at(4096) - total.fixed_bytes,
        "min_ram_bytes": total.bytes_at(4096),
    }


def bits_of_type(inputs: dict[str, Any]) -> Any:
    type_ = TYPES.get(inputs["ggml_type_id"])
    return REFUSED if type_ is None else float(type_bits(type_))


def evicted(inputs: dict[str, Any]) -> Any:
    sizes, budget = inputs["resident_bytes"], inputs["memory_budget_bytes"]
    lack = sum(sizes) + inputs["incoming_bytes"] - budget
    chosen = smallest_set({"total": lack} if lack > 0 else {}, [{"total": n} for n in sizes])
    return {"entries_left": len(sizes) - len(chosen or ())}


def missing_file(inputs: dict[str, Any]) -> Any:
    from budget.source import open_model

    open_model(inputs["path"])
    return "read"


def bad_bits(case: dict[str, Any]) -> bool:
    given = case["inputs"]["bits_per_weight"]
    return given in ("nan", "inf", "-inf") or given < 0


def no_dims(case: dict[str, Any]) -> bool:
    return not all(case["inputs"][k] for k in ("num_layers", "num_heads", "head_dim"))


BAD_BITS = Difference(
    name="bits-out-of-range",
    reason="bits per weight that are negative or no number are refused; theirs weighs 0 bytes",
    applies=bad_bits,
    holds=refuses,
)
NO_DIMS = Difference(
    name="no-dimensions",
    reason="a model without layers or heads is refused; theirs says that any context fits, or none",
    applies=no_dims,
    holds=refuses,
)
ADAPTERS = {
    "estimate": Adapter(answer=estimate, differences=(BAD_BITS,)),
    "max_context_length": Adapter(
        answer=lambda i: cache(i).largest(estimate(i)["kv_cache_budget"]), differences=(BAD_BITS, NO_DIMS)
    ),
    "fits_context": Adapter(
        answer=lambda i: cache(i).bytes_at(i["context"]) <= estimate(i)["kv_cache_budget"],
        differences=(BAD_BITS, NO_DIMS),
    ),
    "summary": Adapter(
        answer=summary,
        differences=(
            BAD_BITS,
            Difference(
                name="summary-text",
                reason="our line names verdict, context and every device, in units that say what they are",
                applies=lambda _c: True,
                holds=lambda a, _c: a.split(" at 4,096 tokens: ")[0] in ("fits", "does not fit") and "iB of " in a,
            ),
        ),
    ),
    "KvCacheType::bytes_per_element": Adapter(
        answer=lambda i: int(type_bits(BY_NAME[{"Fp32": "f32", "Fp16": "f16", "Int8": "i8"}[i["kind"]]]) / 8)
    ),
    "ExtendedQuantType::bits_per_weight": Adapter(
        answer=bits_of_type,
        differences=(
            Difference(
                name="real-blocks",
                reason="bits are those of ggml's block, and a type that does not exist is refused; theirs has 8.5 for "
                "q8_1 (36 bytes per 32 are 9) and 0 for what it does not know",
                applies=lambda c: c["inputs"]["ggml_type_id"] not in REAL_TYPES,
                holds=lambda a, c: a == {9: 9.0, 42: 2.25}.get(c["inputs"]["ggml_type_id"], REFUSED)
                or (isinstance(a, float) and c["inputs"]["ggml_type_id"] in TYPES),
            ),
        ),
    ),
    "kv_cache_4k_bytes / min_ram_bytes": Adapter(answer=kv_4k),
    "estimate_memory_bytes": Adapter(
        answer=missing_file, normal=lambda e: REFUSED if isinstance(e, dict) and "error" in e else e
    ),
    "fits_in_budget": Adapter(
        answer=lambda i: not check(
            resolve_budget(i["budget_bytes"], MACHINE), {"CPU": i["tensor_bytes_sum"]}
        )
    ),
    "evict_if_needed_locked (memory part)": Adapter(
        answer=evicted,
        differences=(
            Difference(
                name="fewest-residents",
                reason="the fewest residents are unloaded, and none where that does not help; theirs never counts what "
                "it has freed and unloads all",
                applies=lambda c: sum(c["inputs"]["resident_bytes"]) + c["inputs"]["incoming_bytes"]
                > c["inputs"]["memory_budget_bytes"],
                holds=lambda a, c: a["entries_left"] >= c["expected"]["entries_left"],
            ),
        ),
    ),
}  # fmt: skip
SKIPPED = {
    "recommend (decision rules)": "caller: settings are chosen by `budget advise`, from exact plans",
    "recommend (machine-independent part)": "caller: settings are chosen by `budget advise`, from exact plans",
    "estimated tokens per second": "caller: `budget advise` bounds speed by bandwidth instead of a constant",
    "LoadError::MemoryBudgetExceeded display": "the wording of an error that theirs never raises",
    "LoadConfig::default().max_memory_bytes": "a field that theirs never reads",
}
