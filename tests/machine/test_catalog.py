"""The catalogue: every entry loads, resolves and becomes a machine."""

import pytest

from budget.errors import MachineError
from budget.machine.catalog import (
    DEVICE_KINDS,
    MACHINE_KINDS,
    entries,
    find,
    near_names,
    normal_name,
    resolve,
)
from budget.machine.device import Host
from budget.machine.file import machine_from_json, machine_to_json
from budget.machine.hardware import device_of, hardware_machines, hardware_rows, machine_of, resolve_machine
from machine.fakes import GiB

ALL = entries()
BY_ID = {entry.id: entry for entry in ALL}


def kinds_of(entry):
    return DEVICE_KINDS if entry.kind in DEVICE_KINDS else MACHINE_KINDS


def test_ids_are_unique():
    assert len(BY_ID) == len(ALL) == 367


@pytest.mark.parametrize("entry", ALL, ids=lambda entry: entry.id)
class TestEveryEntry:
    def test_its_id_means_itself(self, entry):
        assert resolve(entry.id, kinds=kinds_of(entry)) is entry

    def test_each_of_its_names_means_it_or_an_ambiguity_that_lists_it(self, entry):
        for name in (entry.name, *entry.aliases):
            found = find(name, kinds=kinds_of(entry))
            assert entry in found, name
            if len(found) > 1:
                with pytest.raises(MachineError) as error:
                    resolve(name, kinds=kinds_of(entry))
                assert all(other.id in error.value.message for other in found)

    def test_it_becomes_a_machine_that_a_file_can_hold(self, entry):
        machine = machine_of(entry)
        assert machine_from_json(machine_to_json(machine)) == machine
        for device in machine.devices:
            assert device.total_bytes is not None
            assert 0 < device.free_bytes <= device.total_bytes

    def test_its_numbers_agree_with_each_other(self, entry):
        assert entry.confidence in ("high", "medium", "low")
        assert entry.source
        if entry.kind in DEVICE_KINDS:
            assert entry.plan_total_bytes <= entry.memory_bytes
            assert entry.memory_bytes <= 1.05 * entry.memory_nominal_gib * GiB
            assert entry.llama_cpp_backends
        else:
            assert entry.ram_bytes > GiB
            assert all(ref in BY_ID and count > 0 for ref, count in entry.gpus)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtx-4090", "nvidia-rtx-4090"),
        ("RTX 4090", "nvidia-rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "nvidia-rtx-4090"),
        ("rtx-3060-12gb", "nvidia-rtx-3060-12gb"),
        ("rtx-3080:12GiB", "nvidia-rtx-3080-12gb"),
        ("RTX 4060 Ti:16GB", "nvidia-rtx-4060-ti-16gb"),
        ("h100:80GiB", "nvidia-h100-pcie"),
        ("v100:16GiB", "nvidia-tesla-v100-sxm2-16gb"),
        ("m3-max:64GiB", "apple-m3-max-64gb"),
        ("Apple M3 Max (64 GB)", "apple-m3-max-64gb"),
        ("NVIDIA-A100-SXM4-80GB", "nvidia-a100-80gb"),
    ],
)
def test_names_people_write(text, expected):
    assert resolve(text).id == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aws:g6e.xlarge", "aws-g6e-xlarge"),
        ("g6e.xlarge", "aws-g6e-xlarge"),
        ("github:ubuntu-latest", "ci-gh-ubuntu-public"),
        ("ubuntu-latest", "ci-gh-ubuntu-public"),
        ("m3-max:64GiB", "apple-m3-max-64gb"),
        ("dgx spark", "nvidia-dgx-spark"),
    ],
)
def test_machines_people_write(text, expected):
    assert resolve(text, kinds=MACHINE_KINDS).id == expected


@pytest.mark.parametrize("text", ["a100", "h100", "rtx 4060 ti", "m4 max", "rtx-2060"])
def test_a_name_of_several_lists_them_and_the_sizes(text):
    with pytest.raises(MachineError, match="can be several") as error:
        resolve(text)
    assert "GiB" in error.value.message
    assert error.value.hint.startswith("name one of them")


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("4090", "nvidia-rtx-4090"),
        ("rtx-409", "nvidia-rtx-4090"),
        ("h100:40GiB", "nvidia-h100-pcie"),
        ("rtx4080ti", "nvidia-rtx-4080"),
    ],
)
def test_an_unknown_name_is_never_guessed_and_lists_near_ones(text, near):
    with pytest.raises(MachineError, match="has no"):
        resolve(text)
    assert near in near_names(text, kinds=DEVICE_KINDS)


def test_a_wrong_provider_is_no_match():
    assert find("gcp:g6e.xlarge", kinds=MACHINE_KINDS) == ()


def test_an_instance_is_its_ram_and_its_cards():
    machine = resolve_machine("aws:g6e.xlarge")
    assert machine.host.ram_total_bytes == 32 * GiB
    assert machine.host.ram_available_bytes == int(32 * GiB * 0.97)
    assert [device.description for device in machine.devices] == ["NVIDIA L40S"]


def test_a_runner_without_a_card_has_none():
    assert resolve_machine("github:ubuntu-latest").devices == ()


def test_the_h200_is_the_measured_one():
    assert device_of(BY_ID["nvidia-h200"]).total_bytes == 150109880320


def test_low_confidence_shows_on_the_number():
    assert "low confidence" in device_of(BY_ID["amd-mi300a"]).sources["total_bytes"]
    assert "low confidence" not in device_of(BY_ID["nvidia-h200"]).sources["total_bytes"]


def test_a_chip_shares_its_ram_and_a_card_does_not():
    mac, spark, card = (device_of(BY_ID[i]) for i in ("apple-m3-max-64gb", "nvidia-gb10", "nvidia-h200"))
    assert (mac.unified, mac.kind, mac.backend) == (True, "gpu", "metal")
    assert (spark.unified, spark.kind) == (True, "igpu")
    assert (card.unified, card.kind) == (False, "gpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aws-g5g-xlarge", ("dotprod", "neon")),
        ("aws-g5-xlarge", ("avx2", "f16c", "fma")),
        ("github:ubuntu-24.04-arm", ("dotprod", "neon")),
        ("m1:16GiB", ("dotprod", "fp16_va", "neon")),
        ("m2:16GiB", ("dotprod", "fp16_va", "i8mm", "neon")),
        ("nvidia-dgx-spark", ("dotprod", "neon")),
    ],
)
def test_processor_features_follow_the_kind_of_host(text, expected):
    assert resolve_machine(text).host.cpu_features == expected


def test_rows_are_sorted_by_memory_and_filtered_by_every_word():
    rows = hardware_rows("rtx 3060")
    assert [row.id for row in rows if "laptop" not in row.id] == [
        "nvidia-rtx-3060-ti",
        "nvidia-rtx-3060-12gb",
    ]
    sizes = [row.memory_bytes or 0 for row in hardware_rows()]
    assert sizes == sorted(sizes)
    assert len(sizes) == len(ALL)
    assert hardware_rows("no such thing") == ()
    assert {row.kind for row in hardware_rows(kinds=("ci-runner",))} == {"ci-runner"}


def test_normal_names_keep_what_tells_cards_apart():
    assert normal_name("Ryzen AI MAX+ 395") == "ryzenaimax+395"
    assert normal_name("Intel(R) Arc(TM) 140V") == "intelarc140v"
    assert normal_name("g6e.xlarge") == "g6e.xlarge"


def test_every_entry_comes_with_its_machine_and_cards_go_into_the_given_host():
    host = Host(ram_total_bytes=64 * GiB, ram_available_bytes=60 * GiB)
    rows = list(hardware_machines("rtx 4090", host=host))
    assert [row.id for row, _ in rows][-1] == "nvidia-rtx-4090"
    assert all(machine.host is host for _, machine in rows)
    ((_, runner),) = hardware_machines("ubuntu-slim", host=host)
    assert runner.host.ram_total_bytes == 5 * GiB
