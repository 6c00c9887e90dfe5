"""RWKV against llama.cpp: no measured fixtures exist for it, so these files are made here.

The figures are what llama.cpp 0c1e570 reserved for the same headers, loaded on the CPU and over RPC.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

import truth
from budget.machine.device import Device
from budget.memory.compute import compute_buffers
from budget.memory.place import place
from budget.model.read import read_model
from budget.runtime.settings import Settings, resolve

N_EMBD, HEAD, N_FF, N_VOCAB, N_LAYER, WIDE = 256, 64, 768, 128, 3, 64
NARROW = 32


def spec(arch, *, fused=True, n_head_kv=0, gate=True):
    """Metadata and tensors of a file with three layers."""
    keys = {
        "context_length": 256, "embedding_length": N_EMBD, "block_count": N_LAYER, "feed_forward_length": N_FF,
        "vocab_size": N_VOCAB, "wkv.head_size": HEAD, "time_mix_extra_dim": NARROW, "time_decay_extra_dim": WIDE,
        "token_shift_count": 2 if arch in ("rwkv6", "rwkv7") else 1, "rescale_every_n_layers": 2,
        "attention.head_count": N_EMBD // HEAD if n_head_kv else 0, "attention.head_count_kv": n_head_kv,
    }  # fmt: skip
    metadata = {"general.architecture": ["str", arch]}
    metadata |= {f"{arch}.{name}": ["u32", value] for name, value in keys.items()}
    tensors = {"token_embd.weight": (N_EMBD, N_VOCAB), "output_norm.weight": (N_EMBD,)}
    tensors["output.weight"] = (N_EMBD, N_VOCAB)
    if arch in ("rwkv6", "rwkv7"):
        tensors |= dict.fromkeys(
            ("output_norm.bias", "token_embd_norm.weight", "token_embd_norm.bias"), (N_EMBD,)
        )
    mix = mix_6 if arch in ("rwkv6", "rwkv6qwen2") else mix_7
    for il in range(N_LAYER):
        block = mix(arch, fused, n_head_kv, gate) | (channel(arch) if arch in ("rwkv6", "rwkv7") else FFN)
        tensors |= {f"blk.{il}.{name}": ne for name, ne in block.items()}
    return {"metadata": metadata, "tensors": [[name, list(ne), "F32"] for name, ne in tensors.items()]}


FFN = {
    "attn_norm.weight": (N_EMBD,), "ffn_norm.weight": (N_EMBD,), "ffn_gate.weight": (N_EMBD, N_FF),
    "ffn_up.weight": (N_EMBD, N_FF), "ffn_down.weight": (N_FF, N_EMBD),
}  # fmt: skip


def channel(arch):
    names = ("attn_norm", "attn_norm_2", "time_mix_ln")
    block = dict.fromkeys([f"{name}.{kind}" for name in names for kind in ("weight", "bias")], (N_EMBD,))
    block["channel_mix_lerp_k.weight"] = (N_EMBD, 1, 1)
    block["channel_mix_key.weight"], block["channel_mix_value.weight"] = (N_EMBD, N_FF), (N_FF, N_EMBD)
    if arch == "rwkv6":
        block["channel_mix_lerp_r.weight"] = (N_EMBD, 1, 1)
        block["channel_mix_receptance.weight"] = (N_EMBD, N_EMBD)
    return block


def projections(n_kv):
    return {
        "time_mix_key.weight": (N_EMBD, n_kv), "time_mix_value.weight": (N_EMBD, n_kv),
        "time_mix_receptance.weight": (N_EMBD, N_EMBD), "time_mix_output.weight": (N_EMBD, N_EMBD),
    }  # fmt: skip


def mix_6(arch, fused, n_head_kv, _gate):
    n_kv = n_head_kv * HEAD or N_EMBD
    block = projections(n_kv) | {
        "time_mix_w1.weight": (N_EMBD, 5 * NARROW), "time_mix_w2.weight": (NARROW, N_EMBD, 5),
        "time_mix_lerp_x.weight": (N_EMBD, 1, 1), "time_mix_decay.weight": (N_EMBD,),
        "time_mix_decay_w1.weight": (N_EMBD, WIDE), "time_mix_decay_w2.weight": (WIDE, N_EMBD),
        "time_mix_gate.weight": (N_EMBD, N_EMBD),
    }  # fmt: skip
    if fused:
        block["time_mix_lerp_fused.weight"] = (N_EMBD, 1, 1, 5)
    else:
        block |= {f"time_mix_lerp_{name}.weight": (N_EMBD, 1, 1) for name in "wkvrg"}
    if arch == "rwkv6":
        return block | {"time_mix_first.weight": (HEAD, N_EMBD // HEAD)}
    biases = {
        "time_mix_key.bias": (n_kv,),
        "time_mix_value.bias": (n_kv,),
        "time_mix_receptance.bias": (N_EMBD,),
    }
    return block | biases


def mix_7(_arch, _fused, _n_head_kv, gate):
    block = projections(N_EMBD)
    for name in "wav":
        block[f"time_mix_{name}0.weight"] = (N_EMBD,)
        block[f"time_mix_{name}1.weight"] = (N_EMBD, NARROW)
        block[f"time_mix_{name}2.weight"] = (NARROW, N_EMBD)
    if gate:
        block["time_mix_g1.weight"], block["time_mix_g2.weight"] = (N_EMBD, WIDE), (WIDE, N_EMBD)
    block["time_mix_lerp_fused.weight"] = (N_EMBD, 1, 1, 6 if gate else 5)
    return block | dict.fromkeys([f"time_mix_{n}.weight" for n in ("k_k", "k_a", "r_k")], (N_EMBD,))


def reserved(model, settings, devices=()):
    machine = truth.machine({"devices": []})
    placement = place(model, settings, replace(machine, devices=devices))
    answer = compute_buffers(model, resolve(settings, model), placement)
    assert answer.basis == "exact"
    return answer.bytes_by_buffer


CPU = (
    ("rwkv6", {}, (7874624, 7473216, 867488, 29775968)),
    ("rwkv6", {"fused": False}, (8398912, 7997504, 892064, 31874144)),
    ("rwkv7", {}, (10561600, 10160192, 978080, 40529120)),
    ("arwkv7", {}, (10299456, 9701440, 970912, 38627552)),
    ("arwkv7", {"gate": False}, (9246784, 8521792, 921760, 36136160)),
    ("rwkv6qwen2", {}, (7940160, 7276608, 863392, 28989152)),
    ("rwkv6qwen2", {"n_head_kv": 2}, (7940160, 7276608, 863392, 28989152)),
)
LOADS = (
    {"n_ctx": 1024},
    {"n_ctx": 2048, "n_parallel": 1},
    {"n_ctx": 512, "n_ubatch": 24},
    {"n_ctx": 4096, "n_parallel": 3, "n_ubatch": 2048},
)


@pytest.mark.parametrize(("arch", "options", "measured"), CPU)
def test_rwkv_on_the_cpu_is_exact(arch, options, measured):
    model = read_model(truth.header(spec(arch, **options)))
    for load, want in zip(LOADS, measured, strict=True):
        assert reserved(model, Settings(repack=False, **load)) == {"CPU": want}, load


REMOTE = (
    ("rwkv6", {}, 99, 7348288, 1050688),
    ("rwkv6", {}, 2, 7157792, 7874624),
    ("rwkv6", {"fused": False}, 2, 7682080, 8202304),
    ("rwkv7", {}, 99, 10035264, 1050688),
    ("rwkv7", {}, 2, 8992800, 10561600),
    ("arwkv7", {"gate": False}, 2, 7672864, 9246784),
    ("rwkv6qwen2", {"n_head_kv": 2}, 99, 7413824, 1050688),
)


@pytest.mark.parametrize(("arch", "options", "n_gpu_layers", "remote", "local"), REMOTE)
def test_rwkv_is_exact_when_layers_lie_on_a_device(arch, options, n_gpu_layers, remote, local):
    device = Device(
        name="RPC0",
        backend="rpc",
        remote_backend="cpu",
        description="",
        total_bytes=1 << 40,
        free_bytes=1 << 39,
    )
    model = read_model(truth.header(spec(arch, **options)))
    settings = Settings(n_ctx=1024, n_gpu_layers=n_gpu_layers, repack=False)
    assert reserved(model, settings, (device,)) == {"RPC0": remote, "CPU": local}
