"""Machines described by flags."""

import pytest

from budget.errors import UsageError
from budget.machine.describe import DESCRIBED_CPU_FEATURES, describe_machine, parse_gpu, split_count
from budget.machine.device import Device, Host, Machine
from machine.fakes import GiB

HERE = Machine(
    host=Host(ram_total_bytes=32 * GiB, ram_available_bytes=20 * GiB, cpu_features=("avx512f",)),
    devices=(Device(name="CUDA0", total_bytes=8 * GiB, free_bytes=1),),
    notes=("a note about the real card",),
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param("24GiB", [("CUDA0", 24 * GiB)], id="size"),
        pytest.param("24GB", [("CUDA0", 24 * 10**9)], id="decimal"),
        pytest.param("24g", [("CUDA0", 24 * GiB)], id="short"),
        pytest.param("2x 24GiB", [("CUDA0", 24 * GiB), ("CUDA1", 24 * GiB)], id="two"),
        pytest.param("3x8GiB", [("CUDA0", 8 * GiB), ("CUDA1", 8 * GiB), ("CUDA2", 8 * GiB)], id="three"),
        pytest.param("25769803776", [("CUDA0", 24 * GiB)], id="bytes"),
        pytest.param("rtx-4090", [("CUDA0", 25249710080)], id="name"),
        pytest.param("2x rtx-3090", [("CUDA0", 25294798848), ("CUDA1", 25294798848)], id="two-by-name"),
        pytest.param("m3-max:64GiB", [("MTL0", 53084 * (1 << 20))], id="apple-by-size"),
    ],
)
def test_what_a_gpu_flag_means(spec, expected):
    devices = parse_gpu(spec)
    assert [(device.name, device.total_bytes) for device in devices] == expected


def test_a_described_card_is_all_free_and_says_what_was_assumed():
    (device,) = parse_gpu("24GiB")
    assert device.free_bytes == device.total_bytes
    assert device.compute_capability == "8.9"
    assert device.sources["compute_capability"] == "assumed"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("0x 24GiB", "1 to 16 devices"),
        ("17x 24GiB", "1 to 16 devices"),
        ("0GiB", "some memory"),
        ("rtx-9999", "no 'rtx-9999'"),
        ("m4 max", "can be several"),
        ("", "no ''"),
        ("24GiBB", "24GiBB"),
    ],
)
def test_a_gpu_flag_that_means_nothing_is_quoted_whole(spec, words):
    with pytest.raises(UsageError) as error:
        parse_gpu(spec)
    assert words in error.value.message
    assert repr(spec) in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("2x rtx-3090", (2, "rtx-3090")),
        ("2 x 24GiB", (2, "24GiB")),
        ("rtx-3090", (1, "rtx-3090")),
        ("xe", (1, "xe")),
        ("24GiB", (1, "24GiB")),
    ],
)
def test_split_count(spec, expected):
    assert split_count(spec) == expected


def test_described_cards_replace_those_that_are_here():
    machine = describe_machine(gpus=["rtx-4090", "12GiB"], base=HERE)
    assert [device.name for device in machine.devices] == ["CUDA0", "CUDA1"]
    assert machine.host == HERE.host
    assert machine.notes == ()


def test_ram_is_all_available():
    machine = describe_machine(ram="64GiB", base=HERE)
    assert (machine.host.ram_total_bytes, machine.host.ram_available_bytes) == (64 * GiB, 64 * GiB)
    assert machine.host.cpu_features == ("avx512f",)
    assert machine.devices == HERE.devices


def test_no_gpu_leaves_the_host():
    assert describe_machine(no_gpu=True, base=HERE).devices == ()


def test_without_a_base_the_processor_is_an_ordinary_one():
    machine = describe_machine(gpus=["24GiB"], ram="64GiB")
    assert machine.host.cpu_features == DESCRIBED_CPU_FEATURES
    assert describe_machine(gpus=["24GiB"]).host.ram_total_bytes is None


def test_a_mac_brings_its_own_host_and_the_flag_wins():
    host = describe_machine(gpus=["m3-max:64GiB"], base=HERE).host
    assert (host.ram_total_bytes, host.ram_available_bytes) == (64 * GiB, int(64 * GiB * 0.97))
    assert host.cpu_features == ("dotprod", "fp16_va", "i8mm", "neon")
    assert describe_machine(gpus=["m3-max:64GiB"], ram="48GiB", base=HERE).host.ram_total_bytes == 48 * GiB


def test_low_confidence_is_a_note():
    machine = describe_machine(gpus=["mi300a"])
    assert any("low confidence" in note for note in machine.notes)


def test_gpu_and_no_gpu_exclude_each_other():
    with pytest.raises(UsageError, match="exclude"):
        describe_machine(gpus=["24GiB"], no_gpu=True)


def test_a_bad_ram_names_the_flag():
    with pytest.raises(UsageError, match=r"--ram: not a size: '64 gigs'"):
        describe_machine(ram="64 gigs")


def test_more_than_16_across_flags_is_refused():
    with pytest.raises(UsageError, match="more than 16"):
        describe_machine(gpus=["10x 8GiB", "10x 8GiB"])
