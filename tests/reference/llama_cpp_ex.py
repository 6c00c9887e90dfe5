"""Adapter for `LlamaCppEx.ModelManager.Budget` (Elixir) and its first version."""

from __future__ import annotations

import math
from typing import Any

from budget.errors import UsageError
from budget.machine.device import Device, Host, Machine
from budget.planning.budget import UNLIMITED, Budget, resolve_budget
from budget.planning.described import Described, model_of
from budget.planning.described_layout import lay_out_described
from budget.planning.ledger import Ledger, admit, release
from budget.planning.residents import Resident
from budget.planning.usage import add_usage, check
from budget.runtime.settings import Settings
from reference.case import REFUSED, Adapter, Difference, refuses

MEM_TOTAL_BYTES = 16384000 * 1024
"""Their RAM in the cases of `:auto`."""
KV_BYTES_PER_TOKEN = 2048
"""Their constant: an input of ours."""


def machine_with(gpus: dict[int, int | None]) -> Machine:
    n = max(gpus, default=-1) + 1
    return Machine(
        host=Host(ram_total_bytes=MEM_TOTAL_BYTES, ram_available_bytes=MEM_TOTAL_BYTES),
        devices=tuple(Device(name=f"CUDA{i}", free_bytes=gpus.get(i)) for i in range(n)),
    )


def value(given: Any) -> Any:
    """Their budget terms as ours."""
    if isinstance(given, dict):
        return {(int(k) if k.lstrip("-").isdigit() else k): value(v) for k, v in given.items()}
    if isinstance(given, list):
        return [value(v) for v in given]
    return {":infinity": math.inf, ":auto": "auto"}.get(given, given) if isinstance(given, str) else given


def listed(vram: Any) -> list[int] | None:
    """GPU numbers of a list or map; None for one value for all."""
    if isinstance(vram, list):
        return list(range(len(vram)))
    return sorted(int(i) for i in vram) if isinstance(vram, dict) else None


def resolve(inputs: dict[str, Any]) -> Any:
    given, devices = inputs["memory_budget"], inputs.get("gpu_devices", [])
    gpus = {d["gpu_index"]: d["memory_free"] for d in devices if d["gpu_index"] is not None}
    vram = given.get("vram") if isinstance(given, dict) else None
    numbers = listed(vram)
    for i in numbers or []:
        gpus.setdefault(i, None)
    budget = resolve_budget(value(given), machine_with(gpus), unnamed="unlimited")
    if budget.mode == "unlimited":
        return {"mode": "unlimited"}
    if budget.mode == "combined":
        return {"mode": "combined", "limit": budget.combined_bytes}
    if given == ":auto" or vram == ":auto":
        numbers = sorted(gpus)
    caps = "infinity" if numbers is None else {str(i): cap(budget, f"CUDA{i}") for i in numbers}
    return {"mode": "per_device", "ram": cap(budget, "CPU"), "vram": caps}


def cap(budget: Budget, device: str) -> Any:
    found = budget.cap(device)
    return "infinity" if found is UNLIMITED else found


def placement(file_bytes: Any, opts: dict[str, Any], n_gpus: int) -> dict[str, int]:
    """Bytes per device of a file: our plan of a model described by its size alone."""
    n_ctx, n_parallel = opts.get("n_ctx", 8192), max(opts.get("n_parallel", 4), 1)
    has_kv = opts.get("mode", ":server") == ":server" and n_ctx != 0
    described = Described(
        weights_bytes=file_bytes,
        kv_bytes_per_token=KV_BYTES_PER_TOKEN * n_parallel if has_kv else 0,
    )
    layers = opts.get("n_gpu_layers", 99)
    settings = Settings(
        n_ctx=n_ctx or 256,
        n_parallel=1,
        n_gpu_layers=-1 if layers is None else layers,
        split_mode="none" if opts.get("split_mode", ":none") == ":none" else "layer",
        main_gpu=opts.get("main_gpu", 0),
        tensor_split=tuple(opts.get("tensor_split") or ()),
        offload_kqv=opts.get("offload_kqv", True),
    )
    machine = machine_with(dict.fromkeys(range(n_gpus), 1 << 40))
    layout = lay_out_described(described, model_of(described), settings, machine)
    return {b.device: b.total_bytes for b in layout.buffers}


def theirs(usage: dict[str, int]) -> dict[str, Any]:
    return {
        "ram": usage.get("CPU", 0),
        "vram": {d.removeprefix("CUDA"): n for d, n in usage.items() if d != "CPU" and n},
    }


def ours(usage: dict[str, Any]) -> dict[str, int]:
    return {"CPU": usage["ram"], **{f"CUDA{i}": n for i, n in usage["vram"].items()}}


def without_zeros(expected: Any) -> Any:
    if isinstance(expected, dict) and "vram" in expected:
        return {**expected, "vram": {i: n for i, n in expected["vram"].items() if n}}
    return refused(expected)


def distribute(inputs: dict[str, Any]) -> Any:
    return theirs(placement(inputs["file_bytes"], inputs["opts"], inputs["n_gpus"]))


def budget_of(term: dict[str, Any], *usages: dict[str, Any]) -> Budget:
    vram = term.get("vram")
    numbers = [int(i) for u in usages for i in u["vram"]] + (listed(vram) or [])
    machine = machine_with(dict.fromkeys(numbers))
    if term["mode"] == ":unlimited":
        return resolve_budget(None, machine)
    if term["mode"] == ":combined":
        return resolve_budget(term["limit"], machine)
    caps = {k: value(term[k]) for k in ("ram", "vram") if k in term}
    return resolve_budget(caps, machine, unnamed="unlimited")


def first_failure(budget: Budget, required: dict[str, int], used: dict[str, int]) -> Any:
    """Ours reports every device; theirs stops at the first, RAM before the GPUs in order."""
    failures = check(budget, required, used)
    if not failures:
        return "ok"

    def order(device: str) -> int:
        return -1 if device in ("total", "CPU") else int(device.removeprefix("CUDA"))

    worst = min(failures, key=lambda f: order(f.device))
    name = {"total": "total", "CPU": "ram"}.get(worst.device, worst.device.replace("CUDA", "gpu:"))
    sizes = {"required": worst.required_bytes, "available": worst.available_bytes}
    return {"error": {"insufficient_memory": {"device": name, **sizes}}}


def check_case(inputs: dict[str, Any]) -> Any:
    required, used = inputs["placement"], inputs["used"]
    return first_failure(budget_of(inputs["budget"], required, used), ours(required), ours(used))


def load_sequence(inputs: dict[str, Any]) -> Any:
    n_gpus, ledger, answers = inputs["n_gpus"], Ledger(), []
    machine = machine_with(dict.fromkeys(range(n_gpus)))
    budget = resolve_budget(value(inputs["memory_budget"]), machine, unnamed="unlimited")
    for step in inputs["loads"]:
        gone = step.get("server_crash") or step.get("unload")
        if gone:
            ledger = release(ledger, gone)
            answers.append("crashed" if "server_crash" in step else "ok")
            continue
        opts = dict(step)
        opts.setdefault("mode", ":direct" if ":embed" in step.get("capabilities", []) else ":server")
        resident = Resident(name=step["id"], usage=placement(step["file_bytes"], opts, n_gpus))
        try:
            answer = admit(ledger, resident, budget)
        except UsageError:
            answers.append({"error": "already_loaded"})
            continue
        used = add_usage(*(r.usage for r in ledger.residents))
        answers.append("ok" if answer.admitted else first_failure(budget, dict(resident.usage), used))
        ledger = answer.ledger
    return answers


def missing_file(inputs: dict[str, Any]) -> Any:
    from budget.source import open_model

    open_model(inputs["path"])
    return "read"


def v1_resolve(inputs: dict[str, Any]) -> Any:
    budget = resolve_budget(value(inputs["opt"]), machine_with({}), unnamed="unlimited")
    if budget.mode == "unlimited":
        return "infinity"
    return budget.combined_bytes if budget.mode == "combined" else cap(budget, "CPU")


def v1_estimate(inputs: dict[str, Any]) -> Any:
    return sum(placement(inputs["file_bytes"], inputs, 0).values())


def v1_check(inputs: dict[str, Any]) -> Any:
    given = None if inputs["budget"] == "infinity" else value(inputs["budget"])
    budget = resolve_budget(given, machine_with({}))
    answer = first_failure(budget, {"CPU": inputs["required"]}, {"CPU": inputs["used"]})
    if isinstance(answer, dict):
        del answer["error"]["insufficient_memory"]["device"]
    return answer


def refused(expected: Any) -> Any:
    """Their exceptions and error tuples without figures, as one word."""
    if isinstance(expected, dict) and ("raises" in expected or "stat_failed" in str(expected.get("error"))):
        return REFUSED
    return expected


def entries(given: Any) -> list[Any]:
    """Caps of single devices in a budget."""
    if not isinstance(given, dict):
        return []
    vram = given.get("vram")
    single = vram if isinstance(vram, list) else list(vram.values()) if isinstance(vram, dict) else []
    return [given.get("ram"), *single]


def is_text(given: Any) -> bool:
    return isinstance(given, str) and not given.startswith(":")


def asked(case: dict[str, Any]) -> Any:
    """The budget that a case resolves, in either version."""
    inputs = case["inputs"]
    return inputs["memory_budget"] if "memory_budget" in inputs else inputs["opt"]


def opts(case: dict[str, Any]) -> dict[str, Any]:
    return case["inputs"].get("opts", case["inputs"])


def split_of(case: dict[str, Any]) -> list[float]:
    o, inputs = opts(case), case["inputs"]
    splits = (
        o.get("split_mode", ":none") != ":none" and inputs["n_gpus"] > 0 and o.get("n_gpu_layers", 99) != 0
    )
    return list(o.get("tensor_split") or []) if splits else []


def sums(case: dict[str, Any]) -> tuple[int, int]:
    """Bytes that their placement holds, and bytes that there are."""
    o, expected = opts(case), case["expected"]
    held = expected["ram"] + sum(expected["vram"].values()) if "vram" in expected else 0
    server = o.get("mode", ":server") == ":server"
    kv = o.get("n_ctx", 8192) * KV_BYTES_PER_TOKEN * max(o.get("n_parallel", 4), 1) if server else 0
    return held, case["inputs"]["file_bytes"] + kv


def charges_missing_gpu(case: dict[str, Any]) -> bool:
    o, inputs = opts(case), case["inputs"]
    if inputs["n_gpus"] <= 0 or o.get("n_gpu_layers", 99) == 0 or o.get("split_mode", ":none") != ":none":
        return False
    return not 0 <= o.get("main_gpu", 0) < inputs["n_gpus"]


RESOLVE = (
    Difference(
        name="sizes-as-text",
        reason="a size as text is a budget too",
        applies=lambda c: any(is_text(v) for v in (asked(c), *entries(asked(c)))),
        holds=lambda a, _c: a == REFUSED or isinstance(a, int) or a["mode"] in ("combined", "per_device"),
    ),
    Difference(
        name="empty-pool",
        reason="a pool of 0 bytes is a budget that holds nothing, as a device's 0 is; theirs crashes",
        applies=lambda c: asked(c) == 0 and asked(c) is not False,
        holds=lambda a, _c: a in (0, {"mode": "combined", "limit": 0}),
    ),
    Difference(
        name="auto-entries",
        reason="auto is allowed for single devices, as their own documentation says",
        applies=lambda c: ":auto" in entries(asked(c))[1:],
        holds=lambda a, _c: a["mode"] == "per_device",
    ),
    Difference(
        name="one-cap-for-every-gpu",
        reason="a number for vram is the cap of each GPU; theirs crashes",
        applies=lambda c: isinstance(asked(c), dict) and isinstance(asked(c).get("vram"), int)
        and asked(c)["vram"] >= 0,
        holds=lambda a, _c: a["mode"] == "per_device",
    ),
    Difference(
        name="unknown-keys",
        reason="a key that names no device is refused; theirs ignores it, so the budget is unlimited",
        applies=lambda c: isinstance(asked(c), dict) and not set(asked(c)) <= {"ram", "vram"},
        holds=refuses,
    ),
)  # fmt: skip
DISTRIBUTE = (
    Difference(
        name="negative-context",
        reason="a negative context is refused; theirs gives a negative footprint",
        applies=lambda c: opts(c).get("n_ctx", 0) < 0 and opts(c).get("mode", ":server") == ":server",
        holds=refuses,
    ),
    Difference(
        name="empty-split",
        reason="a split of zeros alone is refused, as llama.cpp refuses it; theirs places nothing, which always fits",
        applies=lambda c: bool(split_of(c)) and not any(split_of(c)),
        holds=refuses,
    ),
    Difference(
        name="negative-shares",
        reason="a negative share is refused; theirs charges negative bytes or divides by zero",
        applies=lambda c: any(share < 0 for share in split_of(c)) and "raises" not in c["expected"],
        holds=refuses,
    ),
    Difference(
        name="missing-gpu",
        reason="a GPU that is not there is refused; theirs charges it, and it is unlimited",
        applies=lambda c: any(split_of(c)[max(c["inputs"]["n_gpus"], 0):]) or charges_missing_gpu(c),
        holds=lambda a, c: a == REFUSED or (opts(c).get("main_gpu", 0) < 0 and not a["vram"]),
    ),
    Difference(
        name="sixteen-devices",
        reason="llama.cpp uses at most 16 devices and refuses more; theirs counts any number",
        applies=lambda c: c["inputs"]["n_gpus"] > 16,
        holds=refuses,
    ),
    Difference(
        name="padded-context",
        reason="llama.cpp pads a context to 256 cells; theirs charges it as it is",
        applies=lambda c: opts(c).get("mode", ":server") == ":server" and opts(c).get("n_ctx", 0) % 256 != 0,
        holds=lambda a, c: 0 < a["ram"] + sum(a["vram"].values()) - sums(c)[1]
        < 256 * KV_BYTES_PER_TOKEN * max(opts(c).get("n_parallel", 4), 1),
    ),
    Difference(
        name="whole-bytes",
        reason="parts sum to the whole, and nothing passes through floating point; theirs rounds every part by itself",
        applies=lambda c: "vram" in c["expected"] and sums(c)[0] != sums(c)[1],
        holds=lambda a, c: a["ram"] + sum(a["vram"].values()) == sums(c)[1]
        and all(abs(a["vram"].get(i, 0) - n) <= 1 for i, n in c["expected"]["vram"].items()),
    ),
)  # fmt: skip
ESTIMATE = (
    DISTRIBUTE[0],
    Difference(
        name="padded-context",
        reason="llama.cpp pads a context to 256 cells; theirs charges it as it is",
        applies=lambda c: c["inputs"].get("n_ctx", 0) % 256 != 0,
        holds=lambda a, c: 0 < a - c["expected"]
        < 256 * KV_BYTES_PER_TOKEN * max(c["inputs"].get("n_parallel", 4), 1),
    ),
)  # fmt: skip
ADAPTERS = {
    "resolve": Adapter(answer=resolve, normal=refused, differences=RESOLVE),
    "distribute": Adapter(answer=distribute, normal=without_zeros, differences=DISTRIBUTE),
    "check": Adapter(answer=check_case),
    "add_usage": Adapter(answer=lambda i: theirs(add_usage(ours(i["used"]), ours(i["placement"])))),
    "empty_usage": Adapter(answer=lambda _i: theirs(add_usage())),
    "resolve/1": Adapter(answer=v1_resolve, normal=refused, differences=RESOLVE),
    "estimate/2": Adapter(answer=v1_estimate, normal=refused, differences=ESTIMATE),
    "check/3": Adapter(answer=v1_check),
    "load sequence": Adapter(answer=load_sequence),
    "resolve_source size": Adapter(answer=missing_file, normal=refused),
}
SKIPPED: dict[str, str] = {}
