"""What llama.cpp makes of the settings: against measured contexts, and by hand where nothing was measured."""

from dataclasses import replace

import pytest

import truth
from budget.errors import UsageError
from budget.runtime.settings import Settings, mmproj_placement, n_draft_max, resolve

MEASURED = ("n_ctx", "n_ctx_seq", "n_seq_max", "n_batch", "n_ubatch")
LLAMA = "real/llama-3.1-8b"
"""Trained with 131072 tokens; causal."""
BERT = "real/bge-large-en"
"""Not causal."""


def measured_rows():
    """One row of each model and set of arguments."""
    unique = {(row["model"], row["defaults"], *row["args"]): row for row in truth.rows()}
    return list(unique.values())


def test_every_measured_context_is_what_was_measured():
    different = []
    for row in measured_rows():
        params = resolve(truth.settings(row), truth.model(row["model"]))
        got = {name: getattr(params, name) for name in MEASURED}
        if got != {name: row[name] for name in MEASURED}:
            different.append((row["model"], row["args"], got))
    assert different == []


def test_the_measured_rows_are_many():
    assert len(measured_rows()) > 900


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, (131072, 131072, 4, 2048, 512, True), id="server-defaults"),
        pytest.param({"tool": "llama-cli"}, (131072, 131072, 1, 2048, 512, False), id="cli-defaults"),
        pytest.param({"n_ctx": 1000}, (1024, 1024, 4, 1000, 512, True), id="context-padded-batch-not"),
        pytest.param({"n_ctx": 5000, "n_parallel": 3}, (5376, 1792, 3, 2048, 512, False), id="rounded-up-per-slot"),
        pytest.param({"n_ctx": 4096, "n_parallel": 2}, (4096, 2048, 2, 2048, 512, False), id="slots-apart"),
        pytest.param({"n_ctx": 4096, "n_parallel": 2, "kv_unified": True}, (4096, 4096, 2, 2048, 512, True),
                     id="slots-together"),
        pytest.param({"kv_unified": False}, (131072, 131072, 4, 2048, 512, True), id="auto-slots-are-unified-anyway"),
        pytest.param({"kv_unified_per_slot": 2048}, (8192, 8192, 4, 2048, 512, True), id="pool-of-four-slots"),
        pytest.param({"kv_unified_per_slot": 2048, "fit_ctx": -1}, (131072, 131072, 4, 2048, 512, True),
                     id="explicit-full-context-beats-the-pool"),
        pytest.param({"kv_unified_per_slot": 2048, "n_ctx": 512}, (512, 512, 4, 512, 512, True), id="c-beats-the-pool"),
        pytest.param({"n_batch": 256, "n_ubatch": 1024}, (131072, 131072, 4, 256, 256, True), id="ubatch-within-batch"),
        pytest.param({"n_ubatch": 0}, (131072, 131072, 4, 2048, 2048, True), id="ubatch-0-is-the-batch"),
        pytest.param({"embedding": True}, (131072, 131072, 4, 512, 512, True), id="embeddings-fit-one-ubatch"),
    ],
)  # fmt: skip
def test_contexts_of_a_causal_model(settings, expected):
    params = resolve(Settings(**settings), truth.model(LLAMA))
    assert (*(getattr(params, name) for name in MEASURED), params.kv_unified) == expected


def test_a_model_that_is_not_causal_keeps_a_batch_beyond_its_context():
    params = resolve(Settings(n_ctx=256, n_ubatch=512, embedding=True), truth.model(BERT))
    assert (params.n_ctx, params.n_batch, params.n_ubatch) == (256, 512, 512)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, 4, id="one-row-a-slot"),
        pytest.param({"n_parallel": 256}, 256, id="as-many-as-slots"),
        pytest.param({"spec_type": ("draft-mtp",), "n_batch": 8}, 8, id="never-more-than-a-batch"),
        pytest.param({"n_parallel": 5, "n_ctx": 1}, 1, id="nor-than-the-context-which-refuses-nothing"),
        pytest.param({"embedding": True}, 512, id="embeddings"),
        pytest.param({"pooling": "rank"}, 2048, id="pooling"),
        pytest.param({"pooling": "none"}, 4, id="no-pooling"),
        pytest.param({"spec_type": ("draft-mtp",)}, 16, id="three-drafted-tokens"),
        pytest.param({"model_draft": "d.gguf"}, 4, id="a-draft-without-a-type-drafts-nothing"),
        pytest.param({"tool": "llama-cli"}, 2048, id="cli"),
    ],
)
def test_output_rows(settings, expected):
    assert resolve(Settings(**settings), truth.model(LLAMA)).n_outputs_max == expected


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), 0),
        (("draft-simple",), 5),
        (("ngram-cache",), 8),
        (("ngram-simple", "draft-mtp"), 48),
        (("ngram-mod",), 64),
    ],
)
def test_drafted_tokens_are_the_most_of_any_kind(types, expected):
    assert n_draft_max(Settings(spec_type=types, spec_draft_n_max=5)) == expected


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        pytest.param({"n_parallel": 257}, "at most 256", id="slots"),
        pytest.param({"n_batch": 0}, "batch of 0", id="no-batch"),
        pytest.param({"embedding": True, "n_ubatch": 0}, "batch of 0", id="embeddings-without-ubatch"),
        pytest.param({"n_batch": 3}, "4 sequences and a batch of 3", id="more-slots-than-a-batch"),
        pytest.param({"embedding": True, "n_ubatch": 2}, "4 sequences", id="embeddings-lower-the-batch"),
        pytest.param(
            {"tool": "llama-cli", "n_parallel": 9, "n_ctx": 8},
            "9 sequences",
            id="a-context-is-a-batch-for-cli",
        ),
        pytest.param(
            {"split_mode": "tensor", "flash_attn": "off"}, "flash attention", id="tensor-split-needs-fa"
        ),
    ],
)
def test_what_llama_cpp_refuses_has_a_reason(settings, reason):
    with pytest.raises(UsageError, match=reason):
        resolve(Settings(**settings), truth.model(LLAMA))


def test_a_model_without_a_context_length_needs_one():
    model = replace(truth.model(LLAMA), n_ctx_train=0)
    with pytest.raises(UsageError, match="no context length"):
        resolve(Settings(), model)
    assert resolve(Settings(n_ctx=512), model).n_ctx == 512


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (True, None)),
        ({"devices": ("CUDA1", "CUDA0")}, (True, "CUDA1")),
        ({"devices": ()}, (False, None)),
        ({"devices": (), "mmproj_device": "CUDA0"}, (True, "CUDA0")),
        ({"devices": ("CUDA1",), "mmproj_offload": False}, (False, None)),
    ],
)
def test_the_projector_follows_the_devices(settings, expected):
    assert mmproj_placement(Settings(**settings)) == expected
