"""What people see and what scripts read, for plans of the built-in samples on described machines."""

from __future__ import annotations

import json

import pytest

from budget.schema import SCHEMAS
from inprocess import run

TWO_CARDS = ("--gpu", "24GiB", "--gpu", "48GiB", "--ram", "64GiB")


def test_the_map_of_80_layers_is_three_rows():
    code, text, _ = run("place", "sample:llama-3.3-70b", *TWO_CARDS, "-ngl", "60", "-c", "8k")
    assert code == 0
    assert text == (
        "sample:llama-3.3-70b\n\n"
        "layers       attention              ffn            cache\n"
        "0-20      CPU 1.69 GiB     CPU 8.49 GiB    CPU 672.0 MiB\n"
        "21-40   CUDA0 1.60 GiB   CUDA0 7.78 GiB  CUDA0 640.0 MiB\n"
        "41-79   CUDA1 3.13 GiB  CUDA1 15.53 GiB   CUDA1 1.22 GiB\n\n"
        "input: CPU 563.6 MiB\n"
        "output: CUDA1 822.0 MiB\n"
    )


def test_experts_on_the_host_are_a_column_of_their_own():
    _, text, _ = run(
        "place", "sample:qwen3-30b-a3b", "--gpu", "24GiB", "--ram", "64GiB", "-ncmoe", "10", "-c", "8k"
    )
    rows = [line.split() for line in text.splitlines()[3:5]]
    assert [row[:2] + row[4:5] for row in rows] == [["0-9", "CPU", "CUDA0"], ["10-47", "CUDA0", "CUDA0"]]


@pytest.mark.parametrize(
    "sample", ["llama-3.1-8b", "llama-3.3-70b", "qwen3-30b-a3b", "gemma-3-27b", "gpt-oss-20b"]
)
@pytest.mark.parametrize("command", ["fit", "place", "inspect"])
def test_every_line_of_a_screen_fits_80_columns(command, sample):
    machine = () if command == "inspect" else (*TWO_CARDS, "-c", "16k")
    _, text, _ = run(command, f"sample:{sample}", *machine)
    assert max(map(len, text.splitlines())) <= 80


def test_buffers_carry_llama_cpps_names():
    _, text, _ = run(
        "fit",
        "sample:gemma-3-27b",
        "--gpu",
        "24GiB",
        "--ram",
        "64GiB",
        "-c",
        "8k",
        "--buffers",
        "-lm",
        "none",
    )
    table = text[text.index("buffer ") :].splitlines()
    assert [line.split()[0] for line in table[1:3]] == ["CUDA_Host", "CUDA0"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fit", ("fit", "sample:llama-3.1-8b", *TWO_CARDS, "-c", "8k")),
        ("fit", ("fit", "sample:llama-3.3-70b", *TWO_CARDS, "--budget", "40GiB")),
        ("fit", ("fit", "sample:llama-3.3-70b", *TWO_CARDS, "-sm", "tensor", "-c", "4k")),
        ("max-ctx", ("max-ctx", "sample:gpt-oss-20b", *TWO_CARDS)),
        ("place", ("place", "sample:qwen3-30b-a3b", *TWO_CARDS, "-cmoe", "-c", "4k")),
        ("inspect", ("inspect", "sample:gemma-3-27b")),
    ],
)
def test_json_is_what_its_schema_says(name, arguments):
    _, text, _ = run(*arguments, "--json")
    data = json.loads(text)
    assert data["schema"] == f"budget/{name}/v1"
    assert SCHEMAS[name].model_validate(data).model_dump(by_alias=True) == data


def test_devices_and_buffers_of_a_plan_add_up():
    _, text, _ = run("fit", "sample:llama-3.3-70b", *TWO_CARDS, "-c", "8k", "--json")
    data = json.loads(text)
    for device in data["devices"]:
        parts = ("weights", "context", "compute", "output", "overhead", "reserve")
        assert device["required_bytes"] == sum(device[f"{part}_bytes"] for part in parts)
        for part in parts[:4]:
            mine = (b[f"{part}_bytes"] for b in data["buffers"] if b["device"] == device["name"])
            assert device[f"{part}_bytes"] == sum(mine)


def test_the_largest_context_fits_and_the_next_does_not():
    card = ("sample:llama-3.1-8b", "--gpu", "8GiB", "--ram", "16GiB")
    n_ctx = int(run("max-ctx", *card)[1])
    assert run("fit", *card, "-c", str(n_ctx), "-q")[0] == 0
    assert run("fit", *card, "-c", str(n_ctx + 256), "-q")[0] == 3


def test_a_machine_file_written_here_plans_like_this_machine(tmp_path):
    code, text, _ = run("devices", "--json")
    path = tmp_path / "here.json"
    path.write_text(text)
    assert (code, run("devices", "--machine", str(path), "--json")[1]) == (0, text)


def test_the_hosts_account_adds_up_and_names_what_grows():
    _, text, _ = run("fit", "sample:llama-3.1-8b", *TWO_CARDS, "-c", "8k", "-ngl", "20", "--json")
    parts = {p["name"]: p for p in json.loads(text)["host_memory"]}
    cache = parts["prompt cache (--cache-ram)"]
    assert (cache["steady_bytes"], cache["worst_bytes"]) == (0, 8192 << 20)
    assert parts["weights, mapped from the file"]["kind"] == "file pages"
    _, screen, _ = run("fit", "sample:llama-3.1-8b", *TWO_CARDS, "-c", "8k", "-ngl", "20", "--host")
    assert all(name in screen for name in parts)


@pytest.mark.parametrize(
    ("ram", "said"),
    [("34GiB", True), ("2GiB", False)],  # 2 GiB does not even hold what is no page of the file
)
def test_a_file_that_ram_cannot_keep_is_read_again_and_again(ram, said):
    code, text, _ = run("fit", "sample:llama-3.3-70b", "--no-gpu", "-nr", "--ram", ram, "-c", "8k", "--json")
    assert code == 3
    assert any("from disk again and again" in note for note in json.loads(text)["notes"]) is said
