"""The host's account: what is in the page cache, what is private, what is pinned, and what grows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests import truth
from tests.memory.companions import HOST, gpus

from budget.machine.device import Machine
from budget.memory.host import HostMemory, HostPart, checkpoint_bytes, host_memory
from budget.memory.layout import Layout, lay_out
from budget.model.facts import Model
from budget.runtime.command_line import parse_command_line
from budget.runtime.settings import Settings
from budget.units import MiB

LLAMA = truth.model("real/llama-3.1-8b")
ON_CPU = Machine(host=HOST)


def laid_out(
    model: Model, machine: Machine, *flags: str, tool: str = "llama-server"
) -> tuple[Settings, Layout]:
    settings = parse_command_line([tool, "-c", "8192", *flags], {}).settings
    return settings, lay_out(model, settings, machine)


def account(model: Model, machine: Machine, *flags: str, tool: str = "llama-server") -> HostMemory:
    settings, layout = laid_out(model, machine, *flags, tool=tool)
    return host_memory(model, settings, layout)


def part(memory: HostMemory, name: str) -> HostPart | None:
    return next((p for p in memory.parts if p.name.startswith(name)), None)


def test_repacked_weights_are_private_and_the_mapped_file_stays_droppable() -> None:
    memory = account(LLAMA, ON_CPU)
    settings, layout = laid_out(LLAMA, ON_CPU)
    repacked, mapped = part(memory, "weights, repacked"), part(memory, "weights, mapped")
    assert repacked is not None
    assert repacked.kind == "private"
    assert mapped is not None
    assert mapped.kind == "file pages"
    # the span of the file covers the repacked tensors too; at rest only what is read from it counts
    assert mapped.worst_bytes > repacked.worst_bytes
    assert mapped.steady_bytes + repacked.steady_bytes < mapped.worst_bytes + 64 * MiB
    assert settings.repack
    assert layout.placement.mmap


def test_without_repacking_there_is_one_copy() -> None:
    assert part(account(LLAMA, ON_CPU, "-nr"), "weights, repacked") is None


@pytest.mark.parametrize(
    ("flags", "kind", "name"),
    [
        (("-lm", "none"), "pinned", "weights (CUDA_Host)"),
        (("-lm", "mmap"), "file pages", "weights, mapped"),
        (("-lm", "mmap+mlock"), "pinned", "weights, mapped"),
        (("-lm", "none", "--no-host"), "private", "weights"),
    ],
)
def test_host_weights_are_pinned_mapped_or_private(flags: tuple[str, ...], kind: str, name: str) -> None:
    found = part(account(LLAMA, gpus("CUDA0"), "-ngl", "16", *flags), name)
    assert found is not None
    assert found.kind == kind


def test_the_prompt_cache_starts_empty_and_ends_at_its_limit() -> None:
    cache = part(account(LLAMA, ON_CPU), "prompt cache")
    assert cache is not None
    assert (cache.steady_bytes, cache.worst_bytes) == (0, 8192 * MiB)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        pytest.param(("-cram", "512"), 512 * MiB, id="a limit"),
        # tokens end at one context: 8192 cells x 32 layers x 2 x 1024 elements x 2 bytes
        pytest.param(("-cram", "-1"), 8192 * 32 * 2 * 1024 * 2, id="no limit in bytes"),
    ],
)
def test_cache_ram_sets_the_worst_case(flags: tuple[str, ...], expected: int) -> None:
    cache = part(account(LLAMA, ON_CPU, *flags), "prompt cache")
    assert cache is not None
    assert cache.worst_bytes == expected


def test_cache_ram_0_turns_it_off() -> None:
    assert part(account(LLAMA, ON_CPU, "-cram", "0"), "prompt cache") is None


def test_llama_cli_keeps_no_prompts() -> None:
    assert part(account(LLAMA, ON_CPU, tool="llama-cli"), "prompt cache") is None


GEMMA = truth.model("real/gemma-3-27b")
"""62 layers, 52 of them with a window of 1024; 16 K/V heads of 128: 8192 bytes per cell and layer, K and V."""


def test_a_checkpoint_of_a_windowed_model_is_its_window() -> None:
    _, layout = laid_out(GEMMA, ON_CPU)
    n_windowed = len({t.layer for t in layout.caches if t.cache == "swa"})
    assert n_windowed == 52
    assert checkpoint_bytes(GEMMA, layout) == 1024 * (52 * 8192 + 12)


def test_checkpoints_fill_every_slot_to_the_limit() -> None:
    one = 1024 * (52 * 8192 + 12)
    found = part(account(GEMMA, ON_CPU, "-ctxcp", "8"), "context checkpoints")
    assert found is not None
    assert (found.steady_bytes, found.worst_bytes) == (4 * 2 * one, 4 * 8 * one)


@pytest.mark.parametrize(
    ("model", "flags"),
    [
        pytest.param(LLAMA, (), id="a model that rolls back"),
        pytest.param(GEMMA, ("--swa-full",), id="full windows"),
        pytest.param(GEMMA, ("-ctxcp", "0"), id="turned off"),
    ],
)
def test_models_that_can_roll_back_need_no_checkpoints(model: Model, flags: tuple[str, ...]) -> None:
    assert part(account(model, ON_CPU, *flags), "context checkpoints") is None


def test_a_checkpoint_of_a_recurrent_model_is_one_sequence_of_states() -> None:
    model = truth.model("real/mamba2-codestral-7b")
    _, layout = laid_out(model, ON_CPU)
    assert checkpoint_bytes(model, layout) * 4 == layout.on("CPU").context_bytes


def test_the_output_buffer_grows_to_the_outputs_of_a_batch() -> None:
    # one row of logits per slot at load; as many as drafts may add later
    output = part(
        account(
            LLAMA, gpus("CUDA0"), "-md", "d.gguf", "--spec-type", "draft-simple", "--spec-draft-n-max", "7"
        ),
        "output buffer",
    )
    assert output is not None
    assert output.kind == "pinned"
    assert (output.steady_bytes, output.worst_bytes) == (4 * 128_256 * 4, 4 * 128_256 * 4 * 8)


def test_cell_tables_grow_when_cells_are_used() -> None:
    # 8192 cells of 52 bytes, and two set nodes of 48 each when used
    cells = part(account(LLAMA, ON_CPU), "cell tables")
    assert cells is not None
    assert (cells.steady_bytes, cells.worst_bytes) == (8192 * 52, 8192 * 148)


def test_the_totals_are_the_sums_of_their_kinds() -> None:
    memory = account(GEMMA, gpus("CUDA0"), "-ngl", "30")
    kinds = [memory.of_kind(k) for k in ("file pages", "private", "pinned")]
    assert (memory.steady_bytes, memory.worst_bytes) == tuple(map(sum, zip(*kinds, strict=True)))
    assert memory.steady_bytes < memory.worst_bytes


def test_every_part_says_where_it_comes_from() -> None:
    assert all(p.source and p.basis for p in account(GEMMA, gpus("CUDA0")).parts)


def test_loading_without_a_map_needs_upload_buffers() -> None:
    settings, layout = laid_out(LLAMA, gpus("CUDA0"), "-lm", "dio")
    found = part(host_memory(LLAMA, settings, layout), "upload buffers")
    assert found is not None
    assert (found.steady_bytes, found.worst_bytes) == (0, 256 * MiB)
    mapped = replace(settings, load_mode="mmap")
    assert part(host_memory(LLAMA, mapped, layout), "upload buffers") is None
