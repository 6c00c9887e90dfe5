"""--override-kv changes what llama.cpp reads, and nothing else."""

from __future__ import annotations

import json

import pytest

import truth
from budget.errors import UsageError
from budget.model.read import read_model
from budget.runtime.overrides import with_overrides
from inprocess import CARD, S, budget

HEADER = truth.header(truth.specs()["real/qwen3-30b-a3b"])


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        pytest.param(("qwen3moe.context_length", "int:4096"), "n_ctx_train", 4096, id="context"),
        pytest.param(("qwen3moe.expert_used_count", "int:4"), "n_expert_used", 4, id="experts"),
        pytest.param(("qwen3moe.expert_used_count", "float:4"), "n_expert_used", 8, id="another-kind"),
        pytest.param(("qwen3moe.pooling_type", "int:1"), "pooling", "mean", id="a-key-that-was-not-there"),
        pytest.param(("made.up", "str:x"), "n_expert_used", 8, id="nobody-reads-it"),
    ],
)
def test_what_the_model_becomes(override, field, value):
    model = read_model(with_overrides(HEADER, [override]))
    assert getattr(model, field) == value


def test_the_first_of_a_key_counts_and_nothing_changes_the_header():
    key = "qwen3moe.context_length"
    changed = with_overrides(HEADER, [(key, "int:1024"), (key, "int:2048")])
    assert changed.metadata[key].value == 1024
    assert HEADER.metadata[key].value != 1024
    assert with_overrides(HEADER, []) is HEADER


@pytest.mark.parametrize(
    "override", [("qwen3moe.block_count", "int:4"), ("qwen3moe.context_length", "int:many")]
)
def test_what_is_refused(override):
    with pytest.raises(UsageError, match=override[0]):
        with_overrides(HEADER, [override])


def test_a_plan_is_of_the_overridden_model():
    line = f"fit {S} {CARD} --override-kv llama.context_length=int:8192 --json"
    answer = json.loads(budget(line)[1])
    assert (answer["model"]["n_ctx_train"], answer["settings"]["n_ctx"]) == (8192, 8192)
    code, _, err = budget(f"fit {S} {CARD} --override-kv llama.block_count=int:4")
    assert (code, "the file has 32 blocks" in err) == (2, True)


def test_a_gate_tells_overrides_apart(tmp_path):
    gate = tmp_path / "GATE.toml"
    gate.write_text(
        f'[[gate]]\nmodel = "{S}"\nmachine = {{gpu = "48GiB", ram = "16GiB"}}\n'
        'settings = ["", "--override-kv llama.context_length=int:8192"]\nexpect = ["n_ctx > 8192"]\n',
        encoding="utf-8",
    )
    code, out, _ = budget(f"check {gate} --json")
    assert code == 3
    assert [case["status"] for case in json.loads(out)["gates"][0]["cases"]] == ["passed", "failed"]
