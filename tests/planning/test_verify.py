"""A plan held against llama.cpp's own print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import truth

from budget.errors import ExitCode, MachineError, UnknownAnswerError, UsageError
from budget.machine.device import Device, Host, Machine
from budget.memory.extra import Companion
from budget.planning.budget import resolve_budget
from budget.planning.fit import Plan, Request, plan
from budget.planning.verify import (
    Tolerance,
    Verification,
    fit_print_request,
    parse_tolerance,
    read_fit_print,
    read_log,
    verify,
)
from budget.runtime.command_line import parse_command_line
from budget.source.llama_cpp import find_fit_program, fit_print, read_log_file
from budget.units import MiB

ROW = next(r for r in truth.rows("runtime_h200") if r["model"] == "gemma-3-27b")
"""A real load on an H200, with the exact sizes that the log rounds."""
EXACT = Tolerance()


def request(*flags: str, companions: tuple[Companion, ...] = ()) -> Request:
    free, total = ROW["cuda_free_total_bytes"]["CUDA0"]
    machine = Machine(
        host=Host(ram_total_bytes=1 << 42, ram_available_bytes=1 << 42, cpu_features=("avx2",)),
        devices=(Device(name="CUDA0", compute_capability="9.0", free_bytes=free, total_bytes=total),),
    )
    return Request(
        model=truth.model(f"real/{ROW['model']}"),
        settings=parse_command_line(["llama-server", *ROW["args"], *flags], {}).settings,
        machine=machine,
        budget=resolve_budget("unlimited", machine),
        companions=companions,
    )


def planned(*flags: str, companions: tuple[Companion, ...] = ()) -> Plan:
    return plan(request(*flags, companions=companions))


def line(function: str, buffer: str, what: str, size_bytes: int, prefix: str = "") -> str:
    return f"{prefix}{function}: {buffer:>12} {what} buffer size = {size_bytes / MiB:8.2f} MiB"


def log(prefix: str = "", **changes: int) -> list[str]:
    """The lines that llama.cpp prints for the measured load; the windowed cache is a line of its own."""
    sizes = {b: dict(columns) for b, columns in ROW["breakdown_bytes"].items()}
    gpu, host = sizes["CUDA0"], sizes["CUDA_Host"]
    window = 100 * MiB
    return [
        line("load_tensors", "CPU_Mapped", "model", sizes["CPU_Mapped"]["model"], prefix),
        line("load_tensors", "CUDA0", "model", gpu["model"] + changes.get("model", 0), prefix),
        line("llama_context", "CUDA_Host", " output", 4 * 262_144 * 4, prefix).replace("  output", " output"),
        line("llama_kv_cache", "CUDA0", "KV", gpu["context"] - window, prefix),
        line("llama_kv_cache", "CUDA0", "KV", window + changes.get("context", 0), prefix),
        line("sched_reserve", "CUDA0", "compute", 7 * MiB, prefix),
        line("sched_reserve", "CUDA0", "compute", gpu["compute"] + changes.get("compute", 0), prefix),
        line("sched_reserve", "CUDA_Host", "compute", host["compute"], prefix),
    ]


def held(lines: list[str], answer: Plan | None = None, tolerance: Tolerance = EXACT) -> Verification:
    return verify(answer or planned(), read_log("\n".join(lines)), tolerance)


def differing(found: Verification) -> list[tuple[str, str, str]]:
    return [(r.scope, r.buffer, r.kind) for r in found.rows if not r.agrees]


@pytest.mark.parametrize("prefix", ["", "0.00.812.345 I ", "\x1b[0m"], ids=["bare", "timestamp", "colour"])
def test_a_real_log_agrees_with_the_plan(prefix: str) -> None:
    found = held(log(prefix))
    assert differing(found) == []
    assert {(r.buffer, r.kind) for r in found.rows} == {
        ("CPU_Mapped", "weights"), ("CUDA0", "weights"), ("CUDA_Host", "output"), ("CUDA0", "context"),
        ("CUDA0", "compute"), ("CUDA_Host", "compute"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["model", "context", "compute"])
def test_a_difference_of_a_hundredth_of_a_mib_is_found(kind: str) -> None:
    changes: dict[str, Any] = {kind: MiB // 30}
    found = held(log(**changes))
    column = {"model": "weights"}.get(kind, kind)
    assert differing(found) == [("main", "CUDA0", column)]
    row = next(r for r in found.rows if not r.agrees)
    assert abs(row.difference_bytes + MiB // 30) <= MiB // 50


def test_a_tolerance_lets_it_pass() -> None:
    assert held(log(compute=5 * MiB), tolerance=parse_tolerance("5MiB")).agrees
    assert held(log(compute=5 * MiB), tolerance=parse_tolerance("3%")).agrees
    assert not held(log(compute=5 * MiB), tolerance=parse_tolerance("1MiB")).agrees


def test_a_buffer_that_the_plan_does_not_know_is_a_difference() -> None:
    found = held([*log(), line("load_tensors", "CUDA7", "model", 3 * MiB)])
    assert ("draft", "CUDA7", "weights") not in differing(found)  # a second model: not asked about
    first = [line("load_tensors", "CUDA7", "model", 3 * MiB), *log()]
    assert differing(held(first)) == [("main", "CUDA7", "weights")]


def test_a_buffer_that_the_log_does_not_name_is_a_difference() -> None:
    assert differing(held([text for text in log() if "CPU_Mapped" not in text])) == [
        ("main", "CPU_Mapped", "weights")
    ]


def test_columns_that_the_log_does_not_print_are_not_judged() -> None:
    assert held([text for text in log() if "compute" not in text]).agrees


def test_a_draft_model_in_the_log_is_held_against_the_draft_of_the_plan() -> None:
    companion = Companion(role="draft", path="d.gguf", header=truth.header(truth.specs()["real/gemma-3-4b"]))
    answer = planned("-md", "d.gguf", companions=(companion,))
    parts = {(e.buffer, e.kind): e.size_bytes for e in answer.extras if e.part == "draft"}
    second = [
        line("load_tensors", "CPU_Mapped", "model", parts["CPU_Mapped", "weights"]),
        line("load_tensors", "CUDA0", "model", parts["CUDA0", "weights"]),
        line("llama_kv_cache", "CUDA0", "KV", parts["CUDA0", "context"]),
        line("sched_reserve", "CUDA0", "compute", parts["CUDA0", "compute"]),
        line("sched_reserve", "CUDA_Host", "compute", parts["CUDA_Host", "compute"]),
    ]
    assert differing(held([*log(), *second], answer)) == []
    second[1] = line("load_tensors", "CUDA0", "model", parts["CUDA0", "weights"] + MiB)
    assert differing(held([*log(), *second], answer)) == [("draft", "CUDA0", "weights")]


def table(**changes: int) -> str:
    """The table that llama.cpp prints when it ends, in whole MiB cut off."""
    gpu = {k: (v + changes.get(k, 0)) // MiB for k, v in ROW["breakdown_bytes"]["CUDA0"].items()}
    host = {
        k: sum(ROW["breakdown_bytes"][b][k] for b in ("CUDA_Host", "CPU_Mapped")) // MiB
        for k in ("model", "context", "compute")
    }
    return "\n".join(
        [
            "p: | memory breakdown [MiB] | total    free     self   model   context   compute    unaccounted |",
            f"p: |   - CUDA0 (H200)       | 143155 = 122000 + (20100 = {gpu['model']:>5} + {gpu['context']:>6} + "
            f"{gpu['compute']:>6}) +         600 |",
            f"p: |   - Host               |                    1200 = {host['model']:>5} + {host['context']:>6} + "
            f"{host['compute']:>6}                |",
        ]
    )


def test_the_table_at_the_end_of_a_log_is_enough() -> None:
    found = verify(planned(), read_log(table()), EXACT)
    assert found.agrees
    assert {r.buffer for r in found.rows} == {"CUDA0", "Host"}
    assert differing(verify(planned(), read_log(table(compute=2 * MiB)), EXACT)) == [
        ("main", "CUDA0", "compute")
    ]


def test_lines_are_preferred_to_the_table() -> None:
    assert {r.buffer for r in read_log("\n".join([*log(), table(model=9 * MiB)]))} == {
        "CPU_Mapped", "CUDA0", "CUDA_Host"
    }  # fmt: skip


def test_llama_fit_params_is_asked_without_loading() -> None:
    asked = fit_print_request(request())
    assert (asked.settings.load_mode, asked.accounting) == ("none", "fit")
    answer = plan(asked)
    rows = [answer.layout.on("CUDA0"), answer.layout.on("CPU")]
    text = "\n".join(
        f"{name} {b.weights_bytes // MiB} {b.context_bytes // MiB} {b.compute_bytes // MiB}"
        for name, b in zip(("CUDA0", "Host"), rows, strict=True)
    )
    commands: list[Any] = []

    def run(command: Any, _timeout_s: float) -> str:
        commands.append(command)
        return text

    printed = fit_print("llama-fit-params", ["-m", "m.gguf"], run=run)
    assert commands == [["llama-fit-params", "-m", "m.gguf", "--fit-print", "on"]]
    assert verify(answer, read_fit_print(printed), EXACT).agrees


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1MiB", Tolerance(size_bytes=MiB)), ("2%", Tolerance(fraction=0.02)), ("0", Tolerance())],
)
def test_a_tolerance_is_a_size_or_a_share(text: str, expected: Tolerance) -> None:
    assert parse_tolerance(text) == expected


@pytest.mark.parametrize("text", ["much", "-1%", "2 %%", ""])
def test_a_tolerance_that_is_neither_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--tolerance"):
        parse_tolerance(text)


@pytest.mark.parametrize("read", [read_log, read_fit_print])
def test_text_without_sizes_is_no_answer(read: Any) -> None:
    with pytest.raises(UnknownAnswerError) as error:
        read("llama_model_loader: loaded meta data\n")
    assert error.value.exit_code is ExitCode.UNKNOWN


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.log"):
        read_log_file(str(tmp_path / "no.log"))


def test_a_log_is_read_whatever_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes("\n".join(log()).encode() + b"\xff\xfe\n")
    assert verify(planned(), read_log(read_log_file(str(path))), EXACT).agrees


def test_llama_fit_params_is_found_on_the_path_or_in_a_folder(tmp_path: Path) -> None:
    assert find_fit_program(which=lambda name: f"/opt/{name}") == "/opt/llama-fit-params"
    assert find_fit_program(str(tmp_path)) is None
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "llama-fit-params").touch()
    assert find_fit_program(str(tmp_path)) == str(tmp_path / "bin" / "llama-fit-params")


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    program = tmp_path / "llama-fit-params"
    program.write_text("#!/bin/sh\necho 'error: no such model' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(MachineError, match="no such model"):
        fit_print(str(program), ["-m", "m.gguf"])
