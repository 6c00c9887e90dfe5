"""`max-ctx` against the largest contexts measured by bisection: `python -m tests.bench.max_context`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import truth
from budget.machine.device import Host, Machine
from budget.memory.layout import lay_out
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request
from budget.planning.longest import max_context, with_context
from budget.runtime.command_line import parse_command_line

HERE = Machine(
    host=Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2", "fma", "f16c"))
)


def measured_context(row: dict[str, object]) -> tuple[int | None, int, int]:
    """budget's largest context, the output buffer's bytes at the measured one, and what is left there."""
    settings = parse_command_line(["llama-server", *row["args"], "-nr", "-lm", "none"], {}).settings  # type: ignore[misc]
    model = truth.model(f"real/{row['model']}")
    budget = resolve_budget(str(row["budget_bytes"]), HERE)
    request = Request(model=model, settings=settings, machine=HERE, budget=budget, overhead_bytes=0)
    answer = max_context(request)
    layout = lay_out(model, with_context(request, int(row["max_ctx"])).settings, HERE)  # type: ignore[call-overload]
    sums = layout.on("CPU")
    return answer, sums.output_bytes, int(row["budget_bytes"]) - (sums.total_bytes - sums.output_bytes)  # type: ignore[call-overload]


def main() -> None:
    """Print each row that differs, with why."""
    equal = one_step = 0
    rows = truth.rows("max_ctx_cpu")
    for row in rows:
        answer, output, left = measured_context(row)
        if answer == row["max_ctx"]:
            equal += 1
        else:
            explained = answer is not None and row["max_ctx"] - answer <= 256 * 4 and 0 <= left < output
            one_step += explained
            print(f"{row['model']} {row['tag']}: measured {row['max_ctx']}, budget {answer}; {left} bytes left there, "
                  f"the output buffer takes {output}{'' if explained else '  NOT EXPLAINED'}")  # fmt: skip
    print(f"{len(rows)} rows: {equal} equal, {one_step} one step lower because the output buffer counts here")


if __name__ == "__main__":
    main()
