"""Plans against real loads: a llama.cpp that a wheel ships, on the CPU, buffer by buffer and to the byte.

The wheel is xllamacpp. Release 2026.9.11063 computes as the validated commit does for all but one of the toy
architectures; with any other release only weights and context are held to the byte, because graphs change.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.ghost import TYPES, write_ghost
from tests.truth import model, specs

from budget.machine.device import Host, Machine
from budget.memory.adapters import lora
from budget.memory.draft import mtp
from budget.memory.layout import lay_out
from budget.memory.projector import projector
from budget.model.read import read_model
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.verify import Tolerance, read_log, verify
from budget.runtime.settings import Settings
from budget.source.open import open_model
from budget.units import MiB

SAME_GRAPHS = frozenset({"2026.9.11063", "own"})
"""Releases that build the graphs of the validated commit; `own` is a library named in the environment."""
CHANGED_SINCE = {"2026.9.11063": {"toy/bailingmoe3-moe"}}
"""Toys whose graph a release builds in another way than the validated commit."""
LOAD = Path(__file__).with_name("load.py")
FEATURE = {"avx512": "avx512f", "matmul_int8": "i8mm"}
"""llama.cpp's name of a processor feature to budget's, where they differ."""
TOYS = sorted(name for name in specs() if name.startswith("toy/"))
MACHINE_ROOM = 1 << 40

Sizes = dict[str, tuple[int, int, int]]
"""Buffer name to weights, context and compute, bytes."""


def find_library() -> tuple[Path | None, str]:
    """The library and its release, or None and why there is none."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return None, "the oracle reads a C++ map as libstdc++ lays it out on x86-64"
    own = os.environ.get("BUDGET_TEST_LLAMA_LIBRARY")
    if own:
        return Path(own), "own"
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.origin is None:
        return None, "xllamacpp is not installed: pip install xllamacpp==2026.9.11063"
    found = next(Path(spec.origin).parent.glob("xllamacpp*.so"), None)
    return found, importlib.metadata.version("xllamacpp")


LIBRARY, RELEASE = find_library()
pytestmark = pytest.mark.skipif(LIBRARY is None, reason=RELEASE)


def ghost(name: str, path: Path, *, quantise: str | None = None) -> Path:
    """The toy as a loadable file of zeros, its matrices in the type `quantise` where its blocks divide them."""
    spec = specs()[name]
    metadata = spec["metadata"] | {"tokenizer.ggml.model": ["str", "no_vocab"]}
    tensors = spec["tensors"]
    if quantise:
        block = TYPES[quantise][1]
        tensors = [[n, d, quantise if len(d) > 1 and d[0] % block == 0 and ".weight" in n and "conv" not in n
                    and "ssm" not in n and "norm" not in n and "gate_inp" not in n else t]
                   for n, d, t in tensors]  # fmt: skip
    return write_ghost({"metadata": metadata, "tensors": tensors}, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A real load."""

    buffers: Sizes
    mtp: Sizes
    """Of the second context, where one was asked for."""
    machine: Machine
    """A host with the processor features that the library uses."""
    mmproj_bytes: int
    """Weights and compute of a projector, where it was asked for one."""
    log: str


def load(path: Path, **options: object) -> Load:
    """What llama.cpp allocates; options as load.py takes them."""
    run = subprocess.run(
        [sys.executable, str(LOAD), str(LIBRARY), str(path), *(f"{k}={v}" for k, v in options.items())],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if run.returncode:
        pytest.skip(
            f"this llama.cpp does not load it: {(run.stderr.strip().splitlines() or ['no output'])[-1]}"
        )
    answer: dict[str, Any] = json.loads(run.stdout)
    host = Host(
        ram_total_bytes=MACHINE_ROOM,
        ram_available_bytes=MACHINE_ROOM,
        cpu_features=tuple(FEATURE.get(name, name) for name in answer["features"]),
    )
    return Load(
        buffers=_sizes(answer["buffers"]),
        mtp=_sizes(answer.get("mtp", {})),
        machine=Machine(host=host),
        mmproj_bytes=answer.get("mmproj", 0),
        log=run.stderr,
    )


def _sizes(buffers: dict[str, list[int]]) -> Sizes:
    return {name: (sizes[0], sizes[1], sizes[2]) for name, sizes in buffers.items() if any(sizes)}


def library_settings(**changes: Any) -> Settings:
    """The library's own defaults: `swa_full` is on, every token of a batch may be an output."""
    return replace(
        Settings(tool="llama-cli", n_ctx=512, n_parallel=1, kv_unified=False, swa_full=True), **changes
    )


def compare(name: str, path: Path, *, n_ctx: int = 512, n_ubatch: int = 512, n_seq_max: int = 1) -> None:
    """Hold the plan against a load; what may differ is said in the module's text."""
    real = load(path, n_ctx=n_ctx, n_ubatch=n_ubatch, n_seq_max=n_seq_max)
    settings = library_settings(n_ctx=n_ctx, n_ubatch=n_ubatch, n_parallel=n_seq_max)
    layout = lay_out(read_model(open_model(str(path))[0]), settings, real.machine)
    mine = _sizes({b.name: [b.weights_bytes, b.context_bytes, b.compute_bytes] for b in layout.buffers})
    for column in (0, 1):
        assert column_of(mine, column) == column_of(real.buffers, column)
    if RELEASE not in SAME_GRAPHS or name in CHANGED_SINCE.get(RELEASE, ()):
        pytest.skip(f"weights and context are exact; xllamacpp {RELEASE} builds other graphs")
    if layout.compute.basis != "exact":
        pytest.skip(f"weights and context are exact; compute is no more than {layout.compute.basis}")
    assert mine == real.buffers


def column_of(sizes: Sizes, column: int) -> dict[str, int]:
    """One column, without its zeros."""
    return {name: row[column] for name, row in sizes.items() if row[column]}


@pytest.mark.parametrize("name", TOYS)
def test_a_real_load_allocates_what_the_plan_says(name: str, tmp_path: Path) -> None:
    if RELEASE not in SAME_GRAPHS and name == "toy/qwen4exp-moe":
        pytest.skip("later releases keep more history of its convolution")
    compare(name, ghost(name, tmp_path / "model.gguf"))


@pytest.mark.parametrize(
    "numbers",
    [{"n_ctx": 1024, "n_ubatch": 128, "n_seq_max": 4}, {"n_ctx": 2048, "n_ubatch": 512, "n_seq_max": 2}],
    ids=str,
)
@pytest.mark.parametrize(
    "name", ["toy/llama-dense", "toy/gemma3-dense", "toy/qwen3moe-moe", "toy/mamba2-dense"]
)
def test_slots_and_micro_batches_change_a_real_load_as_planned(
    name: str, numbers: dict[str, int], tmp_path: Path
) -> None:
    compare(name, ghost(name, tmp_path / "model.gguf"), **numbers)


@pytest.mark.parametrize("quantise", ["Q4_0", "Q4_K", "Q6_K", "IQ4_NL"])
@pytest.mark.parametrize("name", ["toy/llama-dense", "toy/qwen3moe-moe", "toy/gemma2-dense"])
def test_repacked_weights_are_a_second_copy_beside_the_mapped_file(
    name: str, quantise: str, tmp_path: Path
) -> None:
    compare(name, ghost(name, tmp_path / "model.gguf", quantise=quantise))


@pytest.mark.parametrize("name", ["toy/qwen35-dense", "toy/lfm2-dense", "toy/nemotron_h-dense"])
def test_states_kept_for_rollback_multiply_the_recurrent_state(name: str, tmp_path: Path) -> None:
    path = ghost(name, tmp_path / "model.gguf")
    real, without = load(path, n_rs_seq=3), load(path)
    layout = lay_out(read_model(open_model(str(path))[0]), library_settings(n_rs_seq=3), real.machine)
    assert (
        layout.on("CPU").context_bytes
        == column_of(real.buffers, 1)["CPU"]
        > column_of(without.buffers, 1)["CPU"]
    )


def test_a_context_for_multi_token_prediction_caches_the_blocks_behind_the_trunk(tmp_path: Path) -> None:
    path = write_ghost(with_mtp_block("toy/glm4moe-moe"), tmp_path / "model.gguf")
    real = load(path, mtp=1)
    model_ = read_model(open_model(str(path))[0])
    settings = library_settings(spec_type=("draft-mtp",), load_mtp=True)
    layout = lay_out(model_, settings, real.machine)
    parts = mtp(model_, settings, layout)
    assert layout.on("CPU").weights_bytes == sum(column_of(real.buffers, 0).values())
    assert sum(e.size_bytes for e in parts if e.kind == "context") == column_of(real.mtp, 1)["CPU"]
    compute = sum(e.size_bytes for e in parts if e.kind == "compute")
    assert column_of(real.mtp, 2)["CPU"] <= compute  # an estimate, never below


@pytest.mark.parametrize("quantise", [None, "Q4_0"], ids=["mapped", "repacked"])
def test_an_adapter_takes_host_memory_beside_mapped_and_repacked_weights(
    quantise: str | None, tmp_path: Path
) -> None:
    path = ghost("toy/llama-dense", tmp_path / "model.gguf", quantise=quantise)
    adapter = write_ghost(lora_for("toy/llama-dense", rank=256), tmp_path / "lora.gguf")
    real = load(path, lora=adapter)
    model_ = read_model(open_model(str(path))[0])
    layout = lay_out(model_, library_settings(), real.machine)
    parts = lora(model_, layout.placement, open_model(str(adapter))[0], str(adapter))
    logged = re.findall(r"(\S+) LoRA buffer size = +([0-9.]+) MiB", real.log)
    assert abs(sum(float(mib) for _, mib in logged) - sum(e.size_bytes for e in parts) / MiB) < 0.02


@pytest.mark.parametrize(
    "name", ["toy/llama-dense", "toy/gemma3-dense", "toy/qwen35-dense", "toy/deepseek4-moe"]
)
def test_the_log_of_a_real_load_agrees_with_the_plan(name: str, tmp_path: Path) -> None:
    path = ghost(name, tmp_path / "model.gguf")
    real = load(path)
    request = Request(
        model=read_model(open_model(str(path))[0]),
        settings=library_settings(),
        machine=real.machine,
        budget=resolve_budget("unlimited", real.machine),
    )
    found = verify(plan(request), read_log(real.log), Tolerance())
    kinds = {"weights", "context", "output"} if RELEASE not in SAME_GRAPHS else {r.kind for r in found.rows}
    assert {r.kind for r in found.rows} >= {"weights", "context", "compute"}
    assert [r for r in found.rows if not r.agrees and r.kind in kinds] == []


@pytest.mark.parametrize(
    ("kind", "width", "inner", "heads", "edge", "patch"),
    [
        ("gemma3", 1152, 4304, 16, 896, 14),
        ("idefics3", 768, 3072, 12, 512, 16),
        ("qwen2.5vl_merger", 1280, 3420, 16, 560, 14),  # windows: the mask is larger than the rows
    ],
    ids=["gemma3", "idefics3", "qwen2.5vl"],
)
def test_a_projector_takes_its_weights_and_little_less_than_the_estimate(
    kind: str, width: int, inner: int, heads: int, edge: int, patch: int, tmp_path: Path
) -> None:
    path = write_ghost(encoder(kind, width, inner, heads, edge, patch), tmp_path / "mmproj.gguf")
    real = load(path, mmproj=1).mmproj_bytes
    header = open_model(str(path))[0]
    parts = {e.kind: e for e in projector(header, library_settings(), Machine(host=Host()), str(path))}
    weights = sum(t.nbytes for t in header.tensors)
    assert 0 <= parts["weights"].size_bytes - weights < 32 * len(header.tensors)
    at_load = parts["compute"].at_load_bytes
    assert at_load is not None
    assert real - weights <= at_load <= (real - weights) * 102 // 100 + MiB


def encoder(kind: str, width: int, inner: int, heads: int, edge: int, patch: int) -> dict[str, Any]:
    """A vision encoder of two blocks with zeros for weights."""
    numbers = {"embedding_length": width, "feed_forward_length": inner, "block_count": 2, "image_size": edge,
               "attention.head_count": heads, "projection_dim": 2560, "patch_size": patch}  # fmt: skip
    metadata: dict[str, Any] = {f"clip.vision.{k}": ["u32", v] for k, v in numbers.items()}
    metadata |= {
        "general.architecture": ["str", "clip"],
        "clip.has_vision_encoder": ["bool", True],
        "clip.projector_type": ["str", kind],
        "clip.use_gelu": ["bool", True],
        "clip.vision.attention.layer_norm_epsilon": ["f32", 1e-6],
        "clip.vision.image_mean": ["arr:f32", [0.5] * 3],
        "clip.vision.image_std": ["arr:f32", [0.5] * 3],
    }
    tensors: list[list[Any]] = [["v.patch_embd.weight", [patch, patch, 3, width], "F16"]]
    vectors = [("v.patch_embd.bias", width), ("v.post_ln.weight", width), ("v.post_ln.bias", width)]
    for il in range(2):
        squares = [(f"attn_{part}", width, width) for part in ("q", "k", "v", "out")]
        gate = [("ffn_gate", width, inner)] if kind.startswith("qwen") else []
        for name, n_in, n_out in (*squares, *gate, ("ffn_up", width, inner), ("ffn_down", inner, width)):
            tensors.append([f"v.blk.{il}.{name}.weight", [n_in, n_out], "F16"])
            vectors.append((f"v.blk.{il}.{name}.bias", n_out))
        vectors += [
            (f"v.blk.{il}.{ln}.{part}", width) for ln in ("ln1", "ln2") for part in ("weight", "bias")
        ]
    if kind == "gemma3":
        tensors.append(["mm.input_projection.weight", [2560, width], "F16"])
        vectors.append(("mm.soft_emb_norm.weight", width))
    elif kind.startswith("qwen"):
        metadata["clip.vision.n_wa_pattern"] = ["u32", 8]
        tensors.append(["v.patch_embd.weight.1", [patch, patch, 3, width], "F16"])
        tensors += [["mm.0.weight", [4 * width, 4 * width], "F16"], ["mm.2.weight", [4 * width, 2560], "F16"]]
        vectors = [*vectors[1:2], *vectors[3:], ("mm.0.bias", 4 * width), ("mm.2.bias", 2560)]
    else:
        metadata["clip.vision.projector.scale_factor"] = ["u32", 4]
        tensors.append(["mm.model.fc.weight", [16 * width, 960], "F16"])
    tensors += [[name, [n], "F32"] for name, n in vectors]
    if not kind.startswith("qwen"):
        tensors.append(["v.position_embd.weight", [width, (edge // patch) ** 2], "F32"])
    return {"metadata": metadata, "tensors": tensors}


def with_mtp_block(name: str) -> dict[str, Any]:
    """A toy with one block for multi-token prediction behind its trunk, a copy of the last one."""
    spec = specs()[name]
    architecture = spec["metadata"]["general.architecture"][1]
    n_block = spec["metadata"][f"{architecture}.block_count"][1]
    width = spec["metadata"][f"{architecture}.embedding_length"][1]
    metadata = spec["metadata"] | {
        "tokenizer.ggml.model": ["str", "no_vocab"],
        f"{architecture}.block_count": ["u32", n_block + 1],
        f"{architecture}.nextn_predict_layers": ["u32", 1],
    }
    last = f"blk.{n_block - 1}."
    block = [
        [f"blk.{n_block}.{n.removeprefix(last)}", d, t] for n, d, t in spec["tensors"] if n.startswith(last)
    ]
    head = [[f"blk.{n_block}.nextn.{part}.weight", dims, "F32"]
            for part, dims in (("eh_proj", [2 * width, width]), ("enorm", [width]), ("hnorm", [width]),
                               ("shared_head_norm", [width]))]  # fmt: skip
    return {"metadata": metadata, "tensors": [*spec["tensors"], *block, *head]}


def lora_for(name: str, *, rank: int) -> dict[str, Any]:
    """An adapter of every attention and feed-forward matrix of a toy."""
    spec = specs()[name]
    tensors = []
    for weight, dims, _ in spec["tensors"]:
        if len(dims) == 2 and weight.startswith("blk.") and weight.endswith(".weight"):
            tensors += [
                [f"{weight}.lora_a", [dims[0], rank], "F32"],
                [f"{weight}.lora_b", [rank, dims[1]], "F32"],
            ]
    metadata = {
        "general.architecture": spec["metadata"]["general.architecture"],
        "general.type": ["str", "adapter"],
        "adapter.type": ["str", "lora"],
        "adapter.lora.alpha": ["f32", 16.0],
    }
    return {"metadata": metadata, "tensors": tensors}


def test_at_least_twelve_architectures_are_held_to_the_byte(tmp_path: Path) -> None:
    host = Host(ram_total_bytes=MACHINE_ROOM, ram_available_bytes=MACHINE_ROOM, cpu_features=("avx2",))
    settings = Settings(tool="llama-cli", n_ctx=512, swa_full=True)
    exact = {
        model(name).architecture
        for name in TOYS
        if lay_out(model(name), settings, Machine(host=host)).compute.basis == "exact"
    }
    assert len(exact) >= 12
