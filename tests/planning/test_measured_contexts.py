"""`max-ctx` on CPU against the largest contexts that llama.cpp was measured to create within a budget."""

from __future__ import annotations

import pytest

import truth
from budget.machine.device import Host, Machine
from budget.memory.layout import lay_out
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request
from budget.planning.longest import context_step, max_context, with_context
from budget.runtime.command_line import parse_command_line

HERE = Machine(
    host=Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c"))
)
ROWS = truth.rows("max_ctx_cpu")


@pytest.mark.parametrize("name", sorted({row["model"] for row in ROWS}))
def test_the_largest_context_is_the_measured_one(name):
    """Or one step below it, where only the output buffer, which the measurement left out, makes the difference."""
    model = truth.model(f"real/{name}")
    for row in ROWS:
        if row["model"] != name:
            continue
        settings = parse_command_line(["llama-server", *row["args"], "-nr", "-lm", "none"], {}).settings
        budget = resolve_budget(str(row["budget_bytes"]), HERE)
        request = Request(model=model, settings=settings, machine=HERE, budget=budget, overhead_bytes=0)
        answer = max_context(request) or 0
        if answer != row["max_ctx"]:
            assert row["max_ctx"] - answer == context_step(request), row
            sums = lay_out(model, with_context(request, row["max_ctx"]).settings, HERE).on("CPU")
            without_output = sums.total_bytes - sums.output_bytes
            assert without_output <= row["budget_bytes"] < sums.total_bytes, row
