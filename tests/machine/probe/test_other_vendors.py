"""Intel, Apple, Windows, and the list that llama.cpp prints itself."""

import sys
from types import SimpleNamespace

import pytest

from budget.errors import MachineError
from budget.machine.device import Device, Host
from budget.machine.probe.apple import MetalReport, apple_devices, read_metal, working_set_bytes
from budget.machine.probe.intel import intel_devices
from budget.machine.probe.llama_cpp import backend_of, llama_cpp_devices, parse_devices, with_details
from budget.machine.probe.windows import commit_room_bytes, registry_devices
from machine.fakes import GiB, MiB, write_tree


def intel_card(pci, files):
    base = "sys/class/drm/card1/device"
    return {f"{base}/vendor": "0x8086", f"{base}/uevent": f"PCI_SLOT_NAME={pci}"} | {
        f"{base}/{name}": text for name, text in files.items()
    }


class TestIntel:
    def test_xe_adds_its_tiles(self, tmp_path):
        files = {"tile0/physical_vram_size_bytes": 6 * GiB, "tile1/physical_vram_size_bytes": 6 * GiB}
        (device,), _ = intel_devices(write_tree(tmp_path, intel_card("0000:03:00.0", files)))
        assert (device.name, device.total_bytes, device.free_bytes) == ("SYCL0", 12 * GiB, 12 * GiB)

    def test_i915_has_local_memory(self, tmp_path):
        files = intel_card("0000:03:00.0", {"drm/card1/lmem_total_bytes": 16 * GiB})
        (device,), _ = intel_devices(write_tree(tmp_path, files))
        assert device.total_bytes == 16 * GiB
        assert "i915" in device.sources["total_bytes"]

    def test_what_processes_hold_counts_each_client_once(self, tmp_path):
        held = "drm-pdev: 0000:03:00.0\ndrm-client-id: 7\ndrm-total-vram0: 9 KiB\ndrm-resident-vram0: 1048576 KiB"
        files = intel_card("0000:03:00.0", {"tile0/physical_vram_size_bytes": 12 * GiB}) | {
            "proc/10/fdinfo/3": held,
            "proc/10/fdinfo/4": held,
            "proc/11/fdinfo/3": held.replace("03:00", "04:00"),
            "proc/12/fdinfo/3": held.replace("client-id: 7", "client-id: 8"),
        }
        (device,), _ = intel_devices(write_tree(tmp_path, files))
        assert device.free_bytes == 10 * GiB

    def test_integrated_graphics_are_a_note(self, tmp_path):
        devices, notes = intel_devices(write_tree(tmp_path, intel_card("0000:00:02.0", {})))
        assert devices == ()
        assert "integrated" in notes[0]


class TestApple:
    def sysctl(self, ram, **answers):
        return (
            {"hw.memsize": ram, "hw.optional.arm64": 1}
            | {k.replace("__", "."): v for k, v in answers.items()}
        ).get

    @pytest.mark.parametrize(
        ("ram_gib", "expected_mib"), [(8, 5461), (16, 12124), (64, 53084), (128, 110100), (512, 475136)]
    )
    def test_the_default_working_set(self, ram_gib, expected_mib):
        assert working_set_bytes(ram_gib * GiB) == expected_mib * MiB

    def test_between_rows_the_share_of_the_row_below(self):
        assert working_set_bytes(72 * GiB) == 53084 * MiB * 72 // 64

    def test_metal_itself_is_believed_first(self):
        metal = MetalReport(working_set_bytes=50 * GiB, max_buffer_bytes=36 * GiB, name="Apple M3 Max")
        (device,), _ = apple_devices(metal, self.sysctl(64 * GiB, iogpu__wired_limit_mb=1000), Host())
        assert (device.total_bytes, device.max_buffer_bytes) == (50 * GiB, 36 * GiB)

    def test_then_the_limit_that_the_user_set(self):
        (device,), _ = apple_devices(
            MetalReport(), self.sysctl(64 * GiB, iogpu__wired_limit_mb=57344), Host()
        )
        assert (device.name, device.total_bytes) == ("MTL0", 56 * GiB)
        assert device.sources["total_bytes"] == "sysctl iogpu.wired_limit_mb"

    def test_then_the_table_and_never_more_than_is_available(self):
        host = Host(ram_available_bytes=30 * GiB)
        (device,), notes = apple_devices(
            MetalReport(problem="late"), self.sysctl(64 * GiB), host, name="Apple M3"
        )
        assert (device.total_bytes, device.free_bytes) == (53084 * MiB, 30 * GiB)
        assert (device.unified, device.kind, device.description) == (True, "gpu", "Apple M3")
        assert notes == ("Metal: late",)

    def test_an_intel_mac_without_metal_has_no_device(self):
        devices, notes = apple_devices(MetalReport(), {"hw.memsize": 16 * GiB}.get, Host())
        assert devices == ()
        assert notes

    def test_metal_through_the_objective_c_runtime(self):
        class Function:
            def __init__(self, answer):
                self.answer = answer

            def __call__(self, *args):
                return self.answer(*args)

        sizes = {b"recommendedMaxWorkingSetSize": 7 * GiB, b"maxBufferLength": 5 * GiB}
        library = SimpleNamespace(
            MTLCreateSystemDefaultDevice=Function(lambda: 99),
            sel_registerName=Function(lambda name: name),
            objc_msgSend=Function(lambda device, name: sizes[name] if device == 99 else 0),
        )
        report = read_metal(lambda path: library)
        assert (report.working_set_bytes, report.max_buffer_bytes) == (7 * GiB, 5 * GiB)

    def test_a_virtual_mac_has_no_metal_device(self):
        class Function:
            def __call__(self):
                return 0

        report = read_metal(lambda path: SimpleNamespace(MTLCreateSystemDefaultDevice=Function()))
        assert "no Metal device" in report.problem


class FakeRegistry:
    HKEY_LOCAL_MACHINE = 0

    def __init__(self, adapters):
        self.adapters = adapters

    def OpenKey(self, root, path):  # noqa: N802
        number = int(path.rpartition("\\")[2])
        if number >= len(self.adapters):
            raise FileNotFoundError
        registry = self

        class Key(dict):
            def __enter__(self):
                return registry.adapters[number]

            def __exit__(self, *args):
                return None

        return Key()

    def QueryValueEx(self, key, name):  # noqa: N802
        if name not in key:
            raise FileNotFoundError
        return key[name], 11


class TestWindows:
    def test_adapters_with_their_64_bit_memory(self):
        size = "HardwareInformation.qwMemorySize"
        registry = FakeRegistry(
            [
                {"DriverDesc": "AMD Radeon RX 7900 XTX", size: 24 * GiB},
                {"DriverDesc": "NVIDIA GeForce RTX 4090", size: 24 * GiB},
                {"DriverDesc": "Microsoft Basic Display"},
                {"DriverDesc": "Intel Arc B580", size: (12 * GiB).to_bytes(8, "little")},
            ]
        )
        devices = registry_devices(registry)
        assert [(d.name, d.description, d.total_bytes) for d in devices] == [
            ("Vulkan0", "AMD Radeon RX 7900 XTX", 24 * GiB),
            ("Vulkan1", "Intel Arc B580", 12 * GiB),
        ]
        assert all(device.free_bytes is None for device in devices)

    def test_commit_room_is_limit_less_total_in_pages(self):
        def answer(pointer, size):
            info = pointer._obj
            info.CommitTotal, info.CommitLimit, info.PageSize = 3, 10, 4096
            return 1

        assert commit_room_bytes(SimpleNamespace(K32GetPerformanceInfo=answer)) == 7 * 4096

    def test_without_an_answer_it_is_unknown(self):
        assert commit_room_bytes(SimpleNamespace(K32GetPerformanceInfo=lambda *args: 0)) is None
        assert commit_room_bytes(SimpleNamespace()) is None


LISTED = """ggml_cuda_init: found 2 CUDA devices:
Available devices:
  CUDA0: NVIDIA GeForce RTX 4090 (24080 MiB, 22730 MiB free)
  Vulkan0: AMD Radeon Graphics (RADV GFX1151) (98304 MiB, 90000 MiB free)
  RPC0: 10.0.0.5:50052 (0 MiB, 0 MiB free)
  BLAS: OpenBLAS (0 MiB, 0 MiB free)
"""


class TestLlamaCpp:
    def test_every_line_becomes_a_device(self):
        devices = parse_devices(LISTED)
        assert [(d.name, d.backend, d.description, d.total_bytes, d.free_bytes) for d in devices] == [
            ("CUDA0", "cuda", "NVIDIA GeForce RTX 4090", 24080 * MiB, 22730 * MiB),
            ("Vulkan0", "vulkan", "AMD Radeon Graphics (RADV GFX1151)", 98304 * MiB, 90000 * MiB),
            ("RPC0", "rpc", "10.0.0.5:50052", None, None),
        ]
        assert all(device.context_in_use for device in devices)

    @pytest.mark.parametrize(
        ("name", "backend"),
        [("CUDA12", "cuda"), ("ROCm0", "hip"), ("MTL0", "metal"), ("Metal", "metal"), ("SYCL1", "sycl"),
         ("RPC[h:1]", "rpc"), ("GPUOpenCL", "opencl"), ("BLAS", None), ("CPU", None)],
    )  # fmt: skip
    def test_backends_by_name(self, name, backend):
        assert backend_of(name) == backend

    def test_probes_add_what_the_list_does_not_say(self):
        probed = Device(
            name="CUDA0",
            description="NVIDIA GeForce RTX 4090",
            compute_capability="8.9",
            uuid="GPU-1",
            total_bytes=1,
        )
        device = with_details(parse_devices(LISTED), [probed])[0]
        assert (device.compute_capability, device.uuid, device.total_bytes) == ("8.9", "GPU-1", 24080 * MiB)

    def test_no_devices_is_an_answer(self):
        assert llama_cpp_devices("x", run=lambda command, timeout_s: "Available devices:\n") == ()

    def test_another_program_is_refused(self):
        with pytest.raises(MachineError, match="printed no list"):
            llama_cpp_devices("x", run=lambda command, timeout_s: "usage: x")

    def test_a_real_program_is_run(self, tmp_path):
        script = tmp_path / "llama-server"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nassert sys.argv[1:] == ['--list-devices']\nprint('''{LISTED}''')"
        )
        script.chmod(0o755)
        assert len(llama_cpp_devices(str(script))) == 3

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("import sys; sys.exit('cannot open libcuda')", "cannot open libcuda"),
            ("import time; time.sleep(9)", "within"),
        ],
    )
    def test_a_program_that_fails_or_hangs_is_named(self, tmp_path, body, words):
        script = tmp_path / "llama-server"
        script.write_text(f"#!{sys.executable}\n{body}")
        script.chmod(0o755)
        with pytest.raises(MachineError, match=words):
            llama_cpp_devices(str(script), timeout_s=0.5 if "sleep" in body else 30)

    def test_a_program_that_is_not_there(self):
        with pytest.raises(MachineError, match="cannot run /no/llama-server"):
            llama_cpp_devices("/no/llama-server")
