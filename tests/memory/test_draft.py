"""Draft models and contexts for multi-token prediction, beside a main model."""

from __future__ import annotations

from typing import Any

import pytest
from tests import truth
from tests.memory.companions import gpus

from budget.errors import UsageError
from budget.memory.draft import after_loading, draft, draft_settings, mtp
from budget.memory.extra import Companion
from budget.memory.layout import Layout, lay_out
from budget.memory.overhead import context_bytes
from budget.model.facts import Model
from budget.model.read import read_model
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.runtime.command_line import parse_command_line
from budget.runtime.settings import Settings
from budget.units import MiB

TARGET = truth.model("real/llama-3.1-8b")
DRAFT = truth.model("real/llama-3.2-1b")
"""16 layers, 8 K/V heads of 64: 2048 bytes per cell and layer in f16, for K and V together."""


def laid_out(model: Model, settings: Settings, *names: str) -> Layout:
    return lay_out(model, settings, gpus(*(names or ("CUDA0",))))


def line(*flags: str) -> Settings:
    return parse_command_line(["llama-server", "-ngl", "99", "-c", "8192", *flags], {}).settings


def parts(settings: Settings, *names: str) -> dict[tuple[str, str], int]:
    """Bytes of the draft by kind and buffer."""
    machine = gpus(*(names or ("CUDA0",)))
    found = draft(DRAFT, settings, machine, lay_out(TARGET, settings, machine), TARGET)
    return {(e.kind, e.buffer): e.size_bytes for e in found if e.part == "draft"}


def test_a_draft_model_has_weights_cache_and_compute_of_its_own() -> None:
    settings = line("-md", "draft.gguf")
    alone = laid_out(DRAFT, line("-np", "4", "-kvu", "-md", "none")).on("CUDA0")
    mine = parts(settings)
    assert mine["weights", "CUDA0"] == alone.weights_bytes
    assert mine["context", "CUDA0"] == 8192 * 16 * 2048  # the main model's context, every slot in one cache
    assert mine["compute", "CUDA0"] > 0


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        # its own cache types, f16 unless asked for: q8_0 has 34 bytes per 32 elements
        pytest.param(("-ctk", "q8_0", "-ctv", "q8_0"), 8192 * 16 * 2048, id="the main types do not count"),
        pytest.param(("-ctkd", "q8_0", "-ctvd", "q8_0"), 8192 * 16 * 1088, id="the draft's types count"),
        pytest.param(("-np", "2"), 8192 * 16 * 2048, id="slots apart share the total"),
        pytest.param(("-c", "5000", "-np", "3"), 5376 * 16 * 2048, id="the main context after rounding"),
    ],
)
def test_a_draft_cache_holds_the_main_context_in_its_own_types(flags: tuple[str, ...], expected: int) -> None:
    assert parts(line("-md", "draft.gguf", *flags))["context", "CUDA0"] == expected


def test_a_draft_model_goes_where_devd_says() -> None:
    mine = parts(line("-md", "draft.gguf", "-dev", "CUDA0", "-devd", "CUDA1"), "CUDA0", "CUDA1")
    assert {buffer for kind, buffer in mine if kind == "context"} == {"CUDA1"}


def test_ngld_keeps_draft_layers_on_the_host() -> None:
    mine = parts(line("-md", "draft.gguf", "-ngld", "0"))
    assert ("context", "CUDA0") not in mine
    assert mine["context", "CPU"] == 8192 * 16 * 2048


def test_the_default_split_of_the_draft_sees_what_the_main_model_left() -> None:
    settings = line("-md", "draft.gguf", "-ts", "1,0")
    machine = gpus("CUDA0", "CUDA1")
    target = lay_out(TARGET, settings, machine)
    left = after_loading(machine, target).devices
    before = machine.devices[0].free_bytes
    assert before is not None
    taken = target.on("CUDA0").total_bytes + context_bytes(machine.devices[0])
    assert left[0].free_bytes == before - taken
    assert left[1].free_bytes == before - target.on("CUDA1").total_bytes - (
        context_bytes(machine.devices[1]) if target.on("CUDA1").total_bytes else 0
    )


def test_block_drafters_output_a_whole_block_per_slot() -> None:
    target = laid_out(TARGET, line()).params
    plain = draft_settings(line("-md", "d.gguf"), target)
    block = draft_settings(line("-md", "d.gguf", "--spec-type", "draft-dflash"), target)
    assert laid_out(DRAFT, plain).params.n_outputs_max == 4
    assert laid_out(DRAFT, block).params.n_outputs_max == 4 * (3 + 1)


GLM = truth.model("real/glm-4.5-air")
"""46 layers and one block for multi-token prediction; 8 K/V heads of 128: 4096 bytes per cell and layer."""


def test_multi_token_prediction_loads_its_block_and_caches_it() -> None:
    plain, with_mtp = line(), line("--spec-type", "draft-mtp")
    assert laid_out(GLM, with_mtp).on("CUDA0").weights_bytes > laid_out(GLM, plain).on("CUDA0").weights_bytes
    found = {(e.part, e.kind): e for e in mtp(GLM, with_mtp, laid_out(GLM, with_mtp))}
    assert found["mtp", "context"].size_bytes == 8192 * 4096
    assert found["mtp", "context"].device == "CUDA0"
    # hidden states of a batch of 2048 tokens, and the sampler's rows: one hides behind the other in the dict
    hidden = [e.size_bytes for e in mtp(GLM, with_mtp, laid_out(GLM, with_mtp)) if e.part == "speculation"]
    assert 4 * 2048 * 4096 in hidden


def test_multi_token_prediction_needs_a_model_with_such_blocks() -> None:
    settings = line("--spec-type", "draft-mtp")
    with pytest.raises(UsageError, match="no blocks for multi-token prediction"):
        mtp(TARGET, settings, laid_out(TARGET, settings))


@pytest.mark.parametrize(("n_max", "factor"), [(3, 4), (7, 8)])
def test_drafters_that_read_hidden_states_keep_recurrent_states_to_roll_back_to(
    n_max: int, factor: int
) -> None:
    model = truth.model("toy/qwen35-dense")
    spec = line("--spec-type", "draft-eagle3", "-md", "d.gguf", "--spec-draft-n-max", str(n_max))
    states = [
        sum(
            t.type.tensor_bytes((*t.ne, 1, 1, 1)) for t in laid_out(model, s).caches if t.cache == "recurrent"
        )
        for s in (line(), spec)
    ]
    assert states[1] == factor * states[0] > 0


def request(settings: Settings, companions: tuple[Companion, ...] = ()) -> Request:
    machine = gpus("CUDA0")
    budget = resolve_budget("CUDA0=30GiB,ram=unlimited", machine)
    return Request(model=TARGET, settings=settings, machine=machine, budget=budget, companions=companions)


def companion(spec: str, path: str, role: Any = "draft") -> Companion:
    return Companion(role=role, path=path, header=truth.header(truth.specs()[spec]))


def test_a_plan_adds_the_draft_model_to_the_device_that_holds_it() -> None:
    plain = plan(request(line()))
    both = plan(request(line("-md", "draft.gguf"), (companion("real/llama-3.2-1b", "draft.gguf"),)))
    gpu, alone = both.devices[0], plain.devices[0]
    assert gpu.extras_bytes == sum(e.size_bytes for e in both.extras if e.device == "CUDA0")
    assert gpu.required_bytes - alone.required_bytes >= gpu.extras_bytes > 700 * MiB
    assert both.verdict == "fits"


def test_a_companion_nobody_read_makes_the_answer_unknown() -> None:
    answer = plan(request(line("-md", "draft.gguf")))
    assert answer.verdict == "unknown"
    assert "draft.gguf was not read" in answer.reasons[0]


def test_the_draft_model_is_read_like_any_other() -> None:
    assert read_model(companion("real/llama-3.2-1b", "x").header).n_layer == 16
