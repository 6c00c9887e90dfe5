"""Upper bounds of speed, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

import truth
from budget.errors import MachineError, UsageError
from budget.machine.device import Device, Host, Machine
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.planning.speed import BUS_BYTES_PER_SECOND, bandwidths, parse_bandwidths, speed
from budget.runtime.command_line import parse_settings

GiB = 1 << 30
MACHINE = Machine(
    host=Host(ram_total_bytes=256 * GiB, ram_available_bytes=256 * GiB),
    devices=(
        Device(name="CUDA0", compute_capability="8.9", total_bytes=80 * GiB, free_bytes=80 * GiB,
               bandwidth_bytes_per_second=10**12),
    ),
)  # fmt: skip


def answer(name, *arguments, machine=MACHINE):
    asked = Request(
        model=truth.model(f"real/{name}"), settings=parse_settings(list(arguments))[0], machine=machine,
        budget=resolve_budget("unlimited", machine),
    )  # fmt: skip
    return plan(asked)


def tensor_bytes(model, *words):
    return sum(t.nbytes for t in model.tensors if any(w in t.name for w in words))


def test_a_dense_model_reads_every_weight_and_half_its_cache():
    whole = answer("llama-3.1-8b", "-c", "8192")
    model = whole.request.model
    # 32 layers, 8 heads of 128, K and V in f16: 128 KiB per token
    cache = 4096 * 128 * 1024
    weights = sum(t.nbytes for t in model.tensors if t.name != "token_embd.weight")
    found = speed(whole, {"CUDA0": 10**12, "CPU": 10**11})
    assert found.n_filled == 4096
    assert found.read_bytes == {"CUDA0": weights + cache}
    # the embedding's row goes over the bus once: 4096 elements of 4 bytes
    assert found.bus_bytes == 4096 * 4
    seconds = (weights + cache) / 10**12 + 4096 * 4 / BUS_BYTES_PER_SECOND
    assert found.tokens_per_second == pytest.approx(1 / seconds)
    assert found.basis == "estimate"


def test_of_the_experts_only_those_used_are_read():
    hosted = answer("qwen3-30b-a3b", "-c", "4096", "-cmoe")
    model = hosted.request.model
    # 8 of 128 experts
    assert speed(hosted, {}).read_bytes["CPU"] == tensor_bytes(model, "_exps.") * 8 // 128
    # to the host and back in each of 48 layers, and the embedding's row
    assert speed(hosted, {}).bus_bytes == (2 * 48 + 1) * 2048 * 4


def test_without_the_bandwidth_of_a_device_that_is_read_there_is_no_speed():
    hosted = answer("qwen3-30b-a3b", "-c", "4096", "-cmoe")
    found = speed(hosted, bandwidths(MACHINE))
    assert (found.tokens_per_second, found.unknown) == (None, ("CPU",))
    assert speed(hosted, bandwidths(MACHINE, {"CPU": 10**11})).tokens_per_second is not None
    assert speed(answer("qwen3-30b-a3b", "-c", "4096"), bandwidths(MACHINE)).tokens_per_second is not None


def test_slower_memory_is_never_faster_and_a_fuller_cache_is_never_quicker():
    whole = answer("llama-3.1-8b", "-c", "32768")
    fast = speed(whole, {"CUDA0": 2 * 10**12}, n_filled=1000)
    slow = speed(whole, {"CUDA0": 10**12}, n_filled=1000)
    full = speed(whole, {"CUDA0": 2 * 10**12}, n_filled=32768)
    assert fast.tokens_per_second > slow.tokens_per_second
    assert fast.tokens_per_second > full.tokens_per_second


def test_prompts_read_each_weight_once_for_a_batch():
    whole = answer("llama-3.1-8b", "-c", "8192", "-ub", "256")
    weights = sum(t.nbytes for t in whole.request.model.tensors if t.name != "token_embd.weight")
    assert speed(whole, {"CUDA0": 10**12}).prompt_tokens_per_second == pytest.approx(256 * 10**12 / weights)


@pytest.mark.parametrize(("arguments", "together"), [((), max), (("-ot", "no-pipelining=CPU"), sum)])
def test_two_gpus_share_prompts_only_where_they_pipeline(arguments, together):
    pair = replace(MACHINE, devices=(MACHINE.devices[0], replace(MACHINE.devices[0], name="CUDA1")))
    whole = answer("llama-3.1-8b", "-c", "8192", "-ts", "3,1", *arguments, machine=pair)
    weights = [d.weights_bytes for d in whole.devices if d.kind == "gpu"]
    expected = 512 * 10**12 / together(weights)
    found = speed(whole, {"CUDA0": 10**12, "CUDA1": 10**12}).prompt_tokens_per_second
    assert found == pytest.approx(expected, rel=1e-3)  # a buffer pads its tensors


def test_a_window_reads_no_more_than_the_window():
    # gemma 3 4b: 34 layers, 5 of them with full attention, window 1024, 4 heads of 256, f16
    found = speed(answer("gemma-3-4b", "-c", "32768", "-np", "1"), {}, n_filled=16384)
    empty = speed(answer("gemma-3-4b", "-c", "32768", "-np", "1"), {}, n_filled=0)
    per_token = 2 * 4 * 256 * 2
    model = truth.model("real/gemma-3-4b")
    n_swa = sum(model.is_swa[: model.n_layer])
    expected = per_token * (n_swa * model.n_swa + (model.n_layer - n_swa) * 16384)
    assert found.read_bytes["CUDA0"] - empty.read_bytes["CUDA0"] == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["CUDA0=3350GB/s"], {"CUDA0": 3350 * 10**9}),
        (["cuda0=1TB/s,ram=80GB/s"], {"CUDA0": 10**12, "CPU": 80 * 10**9}),
        (["vram=1GiB/s", "cpu=5GB"], {"CUDA0": GiB, "CPU": 5 * 10**9}),
    ],
)
def test_bandwidths_are_read(texts, expected):
    assert parse_bandwidths(texts, MACHINE) == expected


@pytest.mark.parametrize("text", ["3350GB/s", "CUDA0=fast", "CUDA0=0GB/s", "=1GB/s"])
def test_other_text_is_refused(text):
    with pytest.raises(UsageError, match="--bandwidth"):
        parse_bandwidths([text], MACHINE)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(MachineError, match="CUDA7"):
        parse_bandwidths(["CUDA7=1GB/s"], MACHINE)
