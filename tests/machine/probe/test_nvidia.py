"""NVIDIA cards, from a fake NVML and a fake libcuda."""

import pytest

from budget.machine.probe.cuda import CudaReport, read_cuda
from budget.machine.probe.nvidia import nvidia_devices, reserve_estimate_bytes
from budget.machine.probe.nvml import Card, normal_pci_id, read_nvml
from machine.fakes import (
    GPU_IS_LOST,
    NO_PERMISSION,
    NOT_SUPPORTED,
    FakeCuda,
    FakeCudaDevice,
    FakeGpu,
    FakeNvml,
    GiB,
    MiB,
    write_tree,
)

H200 = FakeGpu(total=150754820096, reserved=644939776, free=150109880320)
ID_A, ID_B = "aaaaaaaa-0000-0000-0000-000000000000", "bbbbbbbb-0000-0000-0000-000000000000"
MEMINFO = {"proc/meminfo": "MemTotal: 127600748 kB\nMemAvailable: 100000000 kB"}


def devices_of(nvml, *, cuda=None, environ=None, root, platform="linux"):
    return nvidia_devices(read_nvml(nvml), cuda, environ=environ or {}, root=root, platform=platform)


def test_an_idle_h200_matches_what_cuda_reports(tmp_path):
    (device,), notes = devices_of(FakeNvml(H200), root=tmp_path)
    assert (device.name, device.description, device.compute_capability) == ("CUDA0", "NVIDIA H200", "9.0")
    assert device.total_bytes == 150109880320  # total - reserved: cudaMemGetInfo's total, measured
    assert device.free_bytes == 150109880320
    assert device.pci_id == "0000:01:00.0"
    assert device.bandwidth_bytes_per_second == 6144 // 8 * 3201 * 2 * 1_000_000
    assert device.sources["total_bytes"] == "NVML: 140.40 GiB less 615.1 MiB that the driver reserves"
    assert (device.problem, device.unified, device.kind) == (None, False, "gpu")
    assert notes == ("NVIDIA driver 580.159.04, CUDA 13.0",)


def test_nvml_is_shut_down_whatever_happens():
    nvml = FakeNvml(H200, GPU_IS_LOST)
    read_nvml(nvml)
    assert not nvml.is_running


def test_text_as_bytes_from_an_old_pynvml_is_text():
    (card,) = read_nvml(FakeNvml(FakeGpu(name=b"Tesla V100", bus_id=b"00000000:3B:00.0"))).cards
    assert (card.name, card.pci_id) == ("Tesla V100", "0000:3b:00.0")


def test_an_old_driver_without_version_2_gets_an_estimated_reserve(tmp_path):
    gpu = FakeGpu(capability=(8, 6), total=24 * GiB, free=23 * GiB)
    (device,), _ = devices_of(FakeNvml(gpu, has_v2=False), root=tmp_path)
    assert device.total_bytes == 24 * GiB - (400 + 6 * 24) * MiB
    assert device.free_bytes == 23 * GiB
    assert "old driver" in device.sources["total_bytes"]


@pytest.mark.parametrize(
    ("capability", "total", "expected_mib"),
    [("6.1", 8 * GiB, 100), ("7.0", 32 * GiB, 300), ("8.9", 24 * GiB, 544), ("8.0", 80 * GiB, 800)],
)
def test_reserve_estimate(capability, total, expected_mib):
    card = Card(index=0, compute_capability=capability, total_bytes=total)
    assert reserve_estimate_bytes(card) == expected_mib * MiB


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (12, "--gpus all"),
        (9, "not loaded"),
        (4, "no permission"),
        (18, "reboot"),
        (999, "NVML does not start"),
    ],
)
def test_an_nvml_that_does_not_start_is_a_note_with_advice(tmp_path, code, words):
    devices, notes = devices_of(FakeNvml(init_error=code), root=tmp_path)
    assert devices == ()
    assert words in notes[0]


def test_a_module_that_is_not_nvidia_ml_py_is_named():
    assert "nvidia-ml-py" in read_nvml(object()).problem


def test_a_lost_gpu_keeps_its_row_and_the_others_go_on(tmp_path):
    (lost, good), _ = devices_of(FakeNvml(GPU_IS_LOST, H200), root=tmp_path)
    assert "fallen off the bus" in lost.problem
    assert (lost.total_bytes, lost.free_bytes, lost.unified) == (None, None, False)
    assert (good.name, good.problem) == ("CUDA1", None)


@pytest.mark.parametrize("code", [NO_PERMISSION, GPU_IS_LOST, 999])
def test_an_error_is_unknown_memory_and_never_the_ram(tmp_path, code):
    gpu = FakeGpu(errors={"memory": code})
    (device,), _ = devices_of(FakeNvml(gpu), root=write_tree(tmp_path, MEMINFO))
    assert (device.total_bytes, device.free_bytes, device.unified) == (None, None, False)
    assert device.problem is not None


class TestUnified:
    def test_gb10_without_nvml_memory_is_the_ram(self, tmp_path):
        gpu = FakeGpu(name="NVIDIA GB10", capability=(12, 1), errors={"memory": NOT_SUPPORTED})
        (device,), _ = devices_of(FakeNvml(gpu), root=write_tree(tmp_path, MEMINFO))
        assert (device.unified, device.kind, device.problem) == (True, "igpu", None)
        assert device.total_bytes == 127600748 * 1024
        assert device.free_bytes == 100000000 * 1024

    def test_gb10_that_reports_all_of_the_ram_is_the_ram_too(self, tmp_path):
        gpu = FakeGpu(total=127600748 * 1024, free=GiB, ats=True)
        (device,), _ = devices_of(FakeNvml(gpu), root=write_tree(tmp_path, MEMINFO))
        assert device.unified
        assert device.free_bytes == 100000000 * 1024

    def test_huge_pages_are_what_llama_cpp_takes_when_there_are_any(self, tmp_path):
        meminfo = (
            MEMINFO["proc/meminfo"] + "\nHugePages_Total: 100\nHugePages_Free: 10\nHugepagesize: 2048 kB"
        )
        gpu = FakeGpu(errors={"memory": NOT_SUPPORTED})
        (device,), _ = devices_of(FakeNvml(gpu), root=write_tree(tmp_path, {"proc/meminfo": meminfo}))
        assert device.free_bytes == 20 * MiB

    def test_gh200_has_memory_of_its_own(self, tmp_path):
        gpu = FakeGpu(total=96 * GiB, free=95 * GiB, ats=True)
        meminfo = f"MemTotal: {576 * GiB // 1024} kB\nMemAvailable: 1 kB"
        (device,), _ = devices_of(FakeNvml(gpu), root=write_tree(tmp_path, {"proc/meminfo": meminfo}))
        assert (device.unified, device.free_bytes) == (False, 95 * GiB)

    def test_cuda_says_that_a_card_is_not_integrated(self, tmp_path):
        gpu = FakeGpu(uuid=f"GPU-{ID_A}", errors={"memory": NOT_SUPPORTED})
        cuda = read_cuda(FakeCuda(FakeCudaDevice(uuid=ID_A)))
        (device,), _ = devices_of(FakeNvml(gpu), cuda=cuda, root=write_tree(tmp_path, MEMINFO))
        assert (device.unified, device.free_bytes) == (False, None)
        assert device.problem is not None

    def test_a_vgpu_without_memory_is_unknown(self, tmp_path):
        gpu = FakeGpu(vgpu=True, errors={"memory": NOT_SUPPORTED})
        (device,), notes = devices_of(FakeNvml(gpu), root=write_tree(tmp_path, MEMINFO))
        assert (device.unified, device.total_bytes) == (False, None)
        assert any("vGPU" in note for note in notes)

    def test_jetson_has_no_nvml_and_cuda_says_integrated(self, tmp_path):
        orin = FakeCudaDevice(uuid=ID_A, name="Orin", total=62827 * MiB, attributes={75: 8, 76: 7, 18: 1})
        (device,), _ = devices_of(
            FakeNvml(init_error=12), cuda=read_cuda(FakeCuda(orin)), root=write_tree(tmp_path, MEMINFO)
        )
        assert (device.kind, device.unified, device.total_bytes) == ("igpu", True, 62827 * MiB)
        assert device.compute_capability == "8.7"
        assert device.free_bytes == 62827 * MiB  # MemAvailable here is more than the card can address


class TestOrder:
    small = FakeGpu(
        name="NVIDIA T400", uuid=f"GPU-{ID_A}", total=4 * GiB, free=4 * GiB, bus_id="00000000:01:00.0"
    )
    large = FakeGpu(
        name="NVIDIA A40", uuid=f"GPU-{ID_B}", total=48 * GiB, free=47 * GiB, bus_id="00000000:02:00.0"
    )
    cuda_large = FakeCudaDevice(uuid=ID_B, name="NVIDIA A40", total=47 * GiB, pci_id="0000:02:00.0")
    cuda_small = FakeCudaDevice(uuid=ID_A, name="NVIDIA T400", total=4 * GiB)

    def test_libcuda_decides_the_order(self, tmp_path):
        cuda = read_cuda(FakeCuda(self.cuda_large, self.cuda_small))
        devices, notes = devices_of(FakeNvml(self.small, self.large), cuda=cuda, root=tmp_path)
        assert [(d.name, d.description) for d in devices] == [
            ("CUDA0", "NVIDIA A40"),
            ("CUDA1", "NVIDIA T400"),
        ]
        assert (devices[0].total_bytes, devices[0].free_bytes) == (47 * GiB, 47 * GiB)
        assert devices[0].sources["total_bytes"].startswith("cuDeviceTotalMem: 48.00 GiB less 0 B")
        assert not any("CUDA_DEVICE_ORDER" in note for note in notes)

    def test_a_card_that_cuda_hides_is_a_note(self, tmp_path):
        cuda = read_cuda(FakeCuda(self.cuda_large))
        devices, notes = devices_of(
            FakeNvml(self.small, self.large), cuda=cuda, environ={"CUDA_VISIBLE_DEVICES": "1"}, root=tmp_path
        )
        assert [d.description for d in devices] == ["NVIDIA A40"]
        assert any("NVIDIA T400" in note and "hidden by CUDA_VISIBLE_DEVICES" in note for note in notes)

    def test_unlike_cards_without_libcuda_are_a_warning(self, tmp_path):
        _, notes = devices_of(FakeNvml(self.small, self.large), root=tmp_path)
        assert any("CUDA_DEVICE_ORDER=PCI_BUS_ID" in note for note in notes)
        _, notes = devices_of(
            FakeNvml(self.small, self.large), environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, root=tmp_path
        )
        assert not any("CUDA_DEVICE_ORDER" in note for note in notes)

    def test_cuda_without_nvml_knows_no_free_memory(self, tmp_path):
        (device,), _ = devices_of(
            FakeNvml(init_error=12), cuda=read_cuda(FakeCuda(self.cuda_large)), root=tmp_path
        )
        assert (device.total_bytes, device.free_bytes, device.problem) == (47 * GiB, None, None)

    def test_a_cuda_that_does_not_start_says_why_on_every_card(self, tmp_path):
        cuda = read_cuda(FakeCuda(init_code=802))
        (device,), notes = devices_of(FakeNvml(H200), cuda=cuda, root=tmp_path)
        assert "fabricmanager" in device.problem
        assert any("cuInit fails with 802" in note for note in notes)

    def test_no_device_is_an_empty_answer_and_no_problem(self):
        assert read_cuda(FakeCuda(init_code=100)) == CudaReport()


class TestMig:
    one = FakeGpu(name="A100 MIG 3g.20gb", uuid="MIG-" + ID_A, total=20 * GiB, free=19 * GiB)
    two = FakeGpu(name="A100 MIG 3g.20gb", uuid="MIG-" + ID_B, total=20 * GiB, free=20 * GiB)

    def parent(self, *instances):
        return FakeGpu(name="NVIDIA A100", capability=(8, 0), total=40 * GiB, free=1, mig=list(instances))

    def test_one_instance_per_process(self, tmp_path):
        devices, notes = devices_of(FakeNvml(self.parent(self.one, self.two)), root=tmp_path)
        assert [(d.name, d.uuid, d.free_bytes) for d in devices] == [("CUDA0", "MIG-" + ID_A, 19 * GiB)]
        assert devices[0].compute_capability == "8.0"
        assert any("one MIG instance per process" in note for note in notes)

    def test_an_instance_by_id(self, tmp_path):
        environ = {"CUDA_VISIBLE_DEVICES": "MIG-bbbb"}
        devices, _ = devices_of(FakeNvml(self.parent(self.one, self.two)), environ=environ, root=tmp_path)
        assert [d.uuid for d in devices] == ["MIG-" + ID_B]

    def test_libcuda_names_the_instance(self, tmp_path):
        cuda = read_cuda(FakeCuda(FakeCudaDevice(uuid=ID_B, name="NVIDIA A100", total=19 * GiB)))
        (device,), _ = devices_of(FakeNvml(self.parent(self.one, self.two)), cuda=cuda, root=tmp_path)
        assert (device.description, device.total_bytes, device.free_bytes) == (
            "A100 MIG 3g.20gb",
            19 * GiB,
            19 * GiB,
        )

    def test_mig_mode_without_instances_shows_no_device(self, tmp_path):
        devices, notes = devices_of(FakeNvml(self.parent()), root=tmp_path)
        assert devices == ()
        assert any("NVIDIA A100" in note for note in notes)


def test_what_runs_on_a_card_is_said(tmp_path):
    gpu = FakeGpu(total=24 * GiB, free=20 * GiB, processes=[(4121, 812 * MiB), (1890, None)])
    _, notes = devices_of(FakeNvml(gpu), root=tmp_path)
    assert "CUDA0: process 4121 holds 812.0 MiB" in notes
    assert "CUDA0: process 1890 holds an unknown amount" in notes


def test_wsl_is_said(tmp_path):
    root = write_tree(tmp_path, {"proc/version": "Linux version 6.6 (Microsoft WSL2)"})
    _, notes = devices_of(FakeNvml(H200), root=root)
    assert any(note.startswith("WSL:") for note in notes)


def test_spilling_into_ram_is_said(tmp_path):
    _, notes = devices_of(FakeNvml(H200), environ={"GGML_CUDA_ENABLE_UNIFIED_MEMORY": "1"}, root=tmp_path)
    assert any("GGML_CUDA_ENABLE_UNIFIED_MEMORY" in note for note in notes)
    _, notes = devices_of(FakeNvml(H200), root=tmp_path, platform="win32")
    assert any(note.startswith("Windows:") for note in notes)


def test_windows_keeps_almost_nothing_of_the_total(tmp_path):
    gpu = FakeGpu(capability=(8, 9), total=24 * GiB, free=22 * GiB)
    (device,), _ = devices_of(FakeNvml(gpu, has_v2=False), root=tmp_path, platform="win32")
    assert device.total_bytes == 24 * GiB - MiB


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("00000000:01:00.0", "0000:01:00.0"),
        ("0000:3B:00.0", "0000:3b:00.0"),
        ("00000001:00:00.0", "0001:00:00.0"),
        ("", None),
        ("nonsense", None),
    ],
)
def test_pci_ids_are_written_as_llama_cpp_does(text, expected):
    assert normal_pci_id(text) == expected
