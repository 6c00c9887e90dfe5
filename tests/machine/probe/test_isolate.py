"""Drivers in child processes: what comes back when one hangs, crashes or talks nonsense."""

import sys
from dataclasses import asdict
from types import SimpleNamespace

import pytest

from budget.machine.device import Host
from budget.machine.probe.driver import has_driver
from budget.machine.probe.isolate import ask_drivers, run_children
from budget.machine.probe.local import NO_GPU, probe_devices, probe_machine, probe_machine_with
from budget.machine.probe.nvml import Card, NvmlReport
from machine.fakes import GiB, write_tree


def python(code):
    return [sys.executable, "-I", "-S", "-c", code]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        pytest.param(python("import time; time.sleep(60)"), "did not answer within 0.3 s", id="hangs"),
        pytest.param(python("import os; os.abort()"), "crashed", id="crashes"),
        pytest.param(python("raise SystemExit(3)"), "crashed (exit 3)", id="fails"),
        pytest.param(python("print('Segmentation')"), "nothing that can be read", id="nonsense"),
        pytest.param(python("print([1])"), "nothing that can be read", id="no-object"),
        pytest.param(["/no/such/program"], "cannot start", id="not-there"),
    ],
)
def test_a_driver_that_misbehaves_is_one_sentence(command, words):
    limit_s = 0.3 if "sleep" in command[-1] else 30
    assert words in run_children({"x": command}, timeout_s=limit_s)["x"]


def test_one_that_hangs_does_not_take_the_answer_of_another(monkeypatch):
    clock = iter([0, 60, 0])  # the limit is set, is over for the first, and is far away for the second
    monkeypatch.setattr("budget.machine.probe.isolate.time", SimpleNamespace(monotonic=lambda: next(clock)))
    answers = run_children(
        {"slow": python("import time; time.sleep(60)"), "good": python("print('{\"a\": 1}')")}, timeout_s=60
    )
    assert answers["good"] == {"a": 1}
    assert "did not answer" in answers["slow"]


def test_the_readers_run_in_a_real_child_and_find_no_driver_in_an_empty_tree(tmp_path):
    answers = ask_drivers(["amd", "intel"], tmp_path)
    assert answers == {"amd": {"devices": [], "notes": []}, "intel": {"devices": [], "notes": []}}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"dev/nvidiactl": ""}, True),
        ({"proc/driver/nvidia/version": "580"}, True),
        ({"usr/lib/wsl/lib/libcuda.so.1": ""}, True),
        ({"etc/ld.so.cache": "libfoo.so.1 libnvidia-ml.so.1"}, True),
        ({"etc/ld.so.cache": "libfoo.so.1"}, False),
    ],
)
def test_where_a_driver_can_be(tmp_path, files, expected):
    assert has_driver(write_tree(tmp_path, files), platform="linux") is expected


def refuse(names, root):
    raise AssertionError(f"started {names}")


def test_nothing_is_started_without_a_driver_and_one_line_says_why(tmp_path):
    machine = probe_machine(root=tmp_path, environ={}, platform="linux", ask=refuse)
    assert machine.devices == ()
    assert machine.notes == (NO_GPU,)


def test_the_host_alone_asks_nobody(tmp_path):
    root = write_tree(tmp_path, {"dev/nvidiactl": ""})
    assert probe_machine(root=root, environ={}, platform="linux", devices=False, ask=refuse).devices == ()


def test_a_driver_that_does_not_answer_becomes_a_note(tmp_path):
    root = write_tree(tmp_path, {"dev/nvidiactl": ""})
    late = "the driver did not answer within 15 s"
    devices, notes = probe_devices(
        root=root, environ={}, platform="linux", host=Host(), ask=lambda names, _: dict.fromkeys(names, late)
    )
    assert devices == ()
    assert notes == (f"NVIDIA: {late}",)


def test_an_amd_tree_is_read_by_a_real_child(tmp_path):
    files = {
        "sys/class/drm/card0/device/vendor": "0x1002",
        "sys/class/drm/card0/device/uevent": "PCI_SLOT_NAME=0000:03:00.0",
        "sys/class/drm/card0/device/mem_info_vram_total": 16 * GiB,
        "sys/class/drm/card0/device/mem_info_vram_used": GiB,
        "proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 1048576 kB",
    }
    machine = probe_machine(root=write_tree(tmp_path, files), environ={}, platform="linux")
    assert [(d.name, d.pci_id) for d in machine.devices] == [("Vulkan0", "0000:03:00.0")]
    assert machine.host.ram_total_bytes == GiB


def test_a_shared_memory_device_stays_inside_the_control_group(tmp_path):
    files = {
        "dev/nvidiactl": "",
        "proc/meminfo": f"MemTotal: {120 * GiB // 1024} kB\nMemAvailable: {100 * GiB // 1024} kB",
        "proc/self/cgroup": "0::/job",
        "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "sys/fs/cgroup/job/memory.max": 2 * GiB,
    }
    card = asdict(Card(index=0, name="NVIDIA GB10", memory_error=3))
    nvml = asdict(NvmlReport()) | {"cards": [card]}
    answers = {"nvml": nvml, "cuda": "the driver did not answer within 15 s"}
    machine = probe_machine(
        root=write_tree(tmp_path, files), environ={}, platform="linux", ask=lambda names, root: answers
    )
    (device,) = machine.devices
    assert (device.unified, device.total_bytes, device.free_bytes) == (True, 120 * GiB, 2 * GiB)
    assert device.sources["free_bytes"] == "memory.max of /sys/fs/cgroup/job"
    assert machine.host.ram_available_bytes == 2 * GiB


def test_a_llama_server_lists_the_devices_itself(tmp_path):
    root = write_tree(tmp_path, {"proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 524288 kB"})
    text = "Available devices:\n  Vulkan0: Radeon (16384 MiB, 16000 MiB free)\n"
    machine = probe_machine_with(
        "llama-server",
        root=root,
        environ={},
        platform="linux",
        ask=refuse,
        run=lambda command, timeout_s: text,
    )
    assert [(d.name, d.backend, d.context_in_use) for d in machine.devices] == [("Vulkan0", "vulkan", True)]
    assert (machine.host.ram_total_bytes, machine.notes) == (GiB, ())


def test_a_llama_server_without_devices_says_so(tmp_path):
    machine = probe_machine_with(
        "x", root=tmp_path, environ={}, platform="linux", ask=refuse, run=lambda *_: "Available devices:\n"
    )
    assert machine.devices == ()
    assert "x lists no devices" in machine.notes[0]
