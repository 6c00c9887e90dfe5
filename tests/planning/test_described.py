from __future__ import annotations

from fractions import Fraction

import pytest

from budget.errors import UsageError
from budget.gguf.types import BY_NAME, F16, F32
from budget.planning.described import (
    attending_layers,
    describe_model,
    kv_bytes_per_token,
    parse_params,
    weights_bytes,
)
from budget.planning.described_layout import spread
from budget.planning.fit import plan
from budget.planning.quant import quant_named, type_bits
from budget.runtime.settings import Settings
from plans import GiB, machine, request


@pytest.mark.parametrize(
    ("text", "n"),
    [("8.2B", 8_200_000_000), ("270M", 270_000_000), ("1T", 10**12), ("8030261248", 8030261248)],
)
def test_weights_are_counted_in_decimal(text, n):
    assert parse_params(text) == n


@pytest.mark.parametrize("text", ["", "B", "-1B", "8,2B", "8.2Gi", "1e9"])
def test_other_counts_of_weights_are_quoted(text):
    with pytest.raises(UsageError, match="not a number of weights"):
        parse_params(text)


@pytest.mark.parametrize(
    ("n", "bits", "expected"),
    [
        (8_000_000_000, "4.85", 4_850_000_000),
        (7, "1.125", 0),
        (1 << 60, 8, 1 << 60),
        (100_000_000, Fraction(9, 8), 14_062_500),
    ],
)
def test_weights_are_exact(n, bits, expected):
    assert weights_bytes(n, bits) == expected


@pytest.mark.parametrize(("n", "bits"), [(1, "-4"), (1, "nan"), (1, "x"), (1, float("inf")), (1 << 62, 32)])
def test_bits_that_are_none_are_refused(n, bits):
    with pytest.raises(UsageError):
        weights_bytes(n, bits)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [(F16, 131072), (F32, 262144), (BY_NAME["q8_0"], 69632), (BY_NAME["q4_0"], 36864)],
)
def test_a_cache_takes_whole_blocks(type_, expected):
    assert kv_bytes_per_token(32, 8, 128, type_) == expected


def test_dimensions_that_are_none_are_refused():
    for dims in ((32, 0, 128), (32, 8, 0), (-1, 8, 128), (32, 1, 40)):
        with pytest.raises(UsageError):
            kv_bytes_per_token(*dims, BY_NAME["q8_0"])


@pytest.mark.parametrize(
    ("interval", "extra", "n"), [(4, 0, 16), (4, 1, 17), (1, 0, 64), (0, 0, 64), (100, 0, 0)]
)
def test_hybrid_models_attend_in_some_layers(interval, extra, n):
    assert attending_layers(64, interval, extra) == n


def test_a_model_from_its_dimensions():
    model = describe_model(
        params="8.2B", bpw="4.85", n_layer=36, n_head_kv=8, head_dim=128, fixed_bytes_text="1GiB"
    )
    answer = plan(request(model, machine(24), settings=Settings(n_ctx=8192)))
    gpu = answer.devices[0]
    # 8.2e9 x 4.85 / 8; 36 layers x 2 x 1024 elements x 2 bytes x 8192 tokens
    assert (gpu.weights_bytes, gpu.context_bytes, gpu.compute_bytes) == (4_971_250_000, 1_207_959_552, GiB)
    assert {b for d in answer.devices for b in d.basis.values()} <= {"estimate", "exact"}
    assert answer.layout.weights_basis == answer.layout.context_basis == "estimate"
    small = plan(request(model, machine(24), settings=Settings(n_ctx=8192, type_k="q8_0", type_v="q8_0")))
    assert small.devices[0].context_bytes == 641_728_512  # 34/64 of it


def test_a_model_from_its_bytes():
    model = describe_model(
        weights_bytes_text="4GiB", kv_bytes_per_token_text="128KiB", fixed_bytes_text="512MiB", n_layer=7
    )
    answer = plan(request(model, machine(24), settings=Settings(n_ctx=8192)))
    assert answer.usage == {"CUDA0": 4 * GiB + GiB + GiB // 2, "CPU": 0}


def test_windowed_layers_keep_the_window_and_a_micro_batch():
    model = describe_model(
        weights_bytes_text="0", n_layer=6, n_head_kv=1, head_dim=256, n_swa=1024, n_layer_swa=5
    )
    answer = plan(request(model, machine(24), settings=Settings(n_ctx=8192, n_parallel=1)))
    # 1 KiB per layer and token: one layer keeps 8192, five keep 1024 + 512
    assert answer.devices[0].context_bytes == (8192 + 5 * 1536) * 1024


@pytest.mark.parametrize(
    "options",
    [
        {}, {"params": "8B"}, {"params": "8B", "bpw": "4", "quant": "Q4_0"}, {"bpw": "4"},
        {"weights_bytes_text": "1", "params": "8B"}, {"weights_bytes_text": "x"},
        {"weights_bytes_text": "1", "n_layer": 0}, {"weights_bytes_text": "1", "n_layer": 513},
        {"weights_bytes_text": "1", "n_head_kv": -8},
        {"weights_bytes_text": "1", "n_layer": 4, "n_layer_kv": 5},
        {"weights_bytes_text": "1", "n_layer": 4, "n_swa": 512},
        {"weights_bytes_text": "1", "n_layer": 4, "n_swa": 512, "n_layer_swa": 5},
        {"weights_bytes_text": "1", "n_layer_swa": 5},
        {"weights_bytes_text": "1", "kv_bytes_per_token_text": "-1"},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_that_do_not_add_up_are_refused(options):
    with pytest.raises(UsageError):
        describe_model(**options)


def test_a_context_is_needed_where_none_was_trained():
    model = describe_model(weights_bytes_text="1GiB", kv_bytes_per_token_text="1")
    with pytest.raises(UsageError, match="trained context"):
        plan(request(model, machine(24), settings=Settings()))


@pytest.mark.parametrize(
    ("name", "bits", "basis"),
    [
        ("Q4_K_M", "4.8944", "Llama-3.1-8B"), ("q8_0", "8.5008", "Llama-3.1-8B"), ("Q4_K", "4.8944", "Llama-3.1-8B"),
        ("bf16", "16", "block"), ("MXFP4", "4.25", "17 bytes for 32"), ("F32", "32", "block"),
    ],
)  # fmt: skip
def test_a_quantisation_has_its_real_bits_and_says_whence(name, bits, basis):
    found = quant_named(name)
    assert found.bits_per_weight == Fraction(bits)
    assert basis in found.basis


def test_files_of_one_type_have_their_output_in_q6_k():
    # 4.5 bits, 6.5 % of the weights at 6.5625: Llama-3-8B's file of 4.34 GiB has 4.64
    assert round(float(quant_named("Q4_0").bits_per_weight), 2) == 4.64
    assert type_bits(BY_NAME["q4_0"]) == Fraction(9, 2)


@pytest.mark.parametrize("name", ["Q4_K_N", "", "I32", "Q9_0"])
def test_quantisations_that_do_not_exist_are_refused(name):
    with pytest.raises(UsageError, match="no such quantisation"):
        quant_named(name)


@pytest.mark.parametrize(
    ("total", "shares", "expected"),
    [(10, (1, 1, 1), [3, 4, 3]), (6000, (1, 3), [1500, 4500]), ((1 << 53) + 1, (1,), [(1 << 53) + 1]),
     (5, (0, 1, 0), [0, 5, 0])],
)  # fmt: skip
def test_parts_sum_to_the_whole(total, shares, expected):
    assert spread(total, [Fraction(s) for s in shares]) == expected
