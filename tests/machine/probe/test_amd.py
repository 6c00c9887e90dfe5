"""AMD cards and APUs, from trees of sysfs."""

from types import MappingProxyType

import pytest

from budget.machine.probe.amd import amd_devices, gfx_target, kfd_nodes
from machine.fakes import GiB, MiB, write_tree


def card(number, pci, *, vram=16 * GiB, used=GiB, gtt=8 * GiB, gtt_used=0, minor=None, **extra):
    base = f"sys/class/drm/card{number}/device"
    render = f"sys/class/drm/renderD{minor or 128 + number}/device"
    files = {
        f"{base}/vendor": "0x1002",
        f"{base}/uevent": f"DRIVER=amdgpu\nPCI_SLOT_NAME={pci}",
        f"{render}/uevent": f"PCI_SLOT_NAME={pci}",
        f"{base}/mem_info_vram_total": vram,
        f"{base}/mem_info_vram_used": used,
        f"{base}/mem_info_gtt_total": gtt,
        f"{base}/mem_info_gtt_used": gtt_used,
    }
    return files | {f"{base}/{name}": text for name, text in extra.items()}


def node(number, version, minor, unique_id=0, bank_bytes=0):
    base = f"sys/class/kfd/kfd/topology/nodes/{number}"
    properties = f"gfx_target_version {version}\ndrm_render_minor {minor}\nunique_id {unique_id}"
    bank = f"heap_type 1\nsize_in_bytes {bank_bytes}"
    return {f"{base}/properties": properties, f"{base}/mem_banks/0/properties": bank, "dev/kfd": ""}


CPU_NODE = node(0, 0, 0)
KERNEL = {"proc/sys/kernel/osrelease": "6.14.0-37-generic"}
MEMINFO = {"proc/meminfo": f"MemTotal: {64 * GiB // 1024} kB\nMemAvailable: {40 * GiB // 1024} kB"}


def test_a_card_with_the_compute_driver_is_rocm(tmp_path):
    files = card(0, "0000:03:00.0", vram=24 * GiB, product_name="Radeon RX 7900 XTX") | CPU_NODE
    files |= node(1, 110000, 128, unique_id=0xABC)
    (device,), notes = amd_devices(write_tree(tmp_path, files), environ={})
    assert (device.name, device.backend, device.kind) == ("ROCm0", "hip", "gpu")
    assert (device.description, device.compute_capability) == ("Radeon RX 7900 XTX", "gfx1100")
    assert device.total_bytes == 24560 * MiB  # what ROCm reports for this card
    assert device.free_bytes == 23536 * MiB
    assert (device.pci_id, device.uuid) == ("0000:03:00.0", "GPU-0000000000000abc")
    assert notes == ()


def test_rdna4_keeps_more(tmp_path):
    files = card(0, "0000:03:00.0", vram=32 * GiB, used=0) | node(1, 120001, 128)
    (device,), _ = amd_devices(write_tree(tmp_path, files), environ={})
    assert device.total_bytes == 32624 * MiB


def test_without_the_compute_driver_it_is_vulkan(tmp_path):
    (device,), _ = amd_devices(write_tree(tmp_path, card(0, "0000:03:00.0")), environ={})
    assert (device.name, device.backend, device.compute_capability) == ("Vulkan0", "vulkan", None)


def test_rocm_order_is_the_topology_and_not_pci(tmp_path):
    files = card(0, "0000:03:00.0", product_name="first") | card(1, "0000:83:00.0", product_name="second")
    files |= node(1, 90010, 129) | node(2, 90010, 128)
    devices, _ = amd_devices(write_tree(tmp_path, files), environ={})
    assert [(d.name, d.description) for d in devices] == [("ROCm0", "second"), ("ROCm1", "first")]
    assert devices[0].compute_capability == "gfx90a"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ["a", "b", "c"]),
        ({"HIP_VISIBLE_DEVICES": "2,0"}, ["c", "a"]),
        ({"CUDA_VISIBLE_DEVICES": "1"}, ["b"]),
        ({"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "1"}, ["a"]),
        ({"ROCR_VISIBLE_DEVICES": "1,2", "HIP_VISIBLE_DEVICES": "1"}, ["c"]),
        ({"ROCR_VISIBLE_DEVICES": "GPU-00000000000000b2"}, ["b"]),
        ({"ROCR_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_rocm_filters_then_renumbers(tmp_path, environ, expected):
    files = {}
    for number, name in enumerate("abc"):
        files |= card(number, f"0000:0{number + 3}:00.0", product_name=name)
        files |= node(number + 1, 110000, 128 + number, unique_id=0xB1 + number)
    devices, notes = amd_devices(write_tree(tmp_path, files), environ=environ)
    assert [device.description for device in devices] == expected
    assert sum("hidden" in note for note in notes) == 3 - len(expected)


class TestApu:
    strix_halo = MappingProxyType(
        {"vram": 512 * MiB, "used": 128 * MiB, "gtt": 62 * GiB, "gtt_used": 2 * GiB}
    )

    def test_carve_out_and_gtt_are_one_pool_no_larger_than_the_ram(self, tmp_path):
        files = card(0, "0000:c3:00.0", **self.strix_halo) | node(1, 110501, 128) | KERNEL | MEMINFO
        (device,), _ = amd_devices(write_tree(tmp_path, files), environ={})
        assert (device.kind, device.unified, device.compute_capability) == ("igpu", True, "gfx1151")
        assert device.total_bytes == 512 * MiB + 62 * GiB
        assert device.free_bytes == 384 * MiB + 40 * GiB  # MemAvailable is less than what GTT has left

    def test_a_large_carve_out_is_still_an_apu(self, tmp_path):
        files = card(0, "0000:c3:00.0", vram=96 * GiB, used=0, gtt=16 * GiB) | node(1, 110501, 128)
        (device,), _ = amd_devices(write_tree(tmp_path, files | KERNEL | MEMINFO), environ={})
        assert device.unified
        assert device.total_bytes == 112 * GiB

    def test_an_old_kernel_gives_the_carve_out_alone(self, tmp_path):
        files = card(0, "0000:c3:00.0", **self.strix_halo) | node(1, 110501, 128) | MEMINFO
        files["proc/sys/kernel/osrelease"] = "6.8.0-60-generic"
        (device,), _ = amd_devices(write_tree(tmp_path, files), environ={})
        assert (device.total_bytes, device.free_bytes) == (512 * MiB, 384 * MiB)

    def test_desktop_graphics_are_said_and_not_planned_on(self, tmp_path):
        files = (
            card(0, "0000:0f:00.0", vram=512 * MiB, gtt=16 * GiB) | node(1, 100306, 128) | KERNEL | MEMINFO
        )
        devices, notes = amd_devices(write_tree(tmp_path, files), environ={})
        assert devices == ()
        assert "integrated graphics" in notes[0]


def test_partitions_of_one_card_have_their_own_banks_and_unknown_free(tmp_path):
    files = card(0, "0000:03:00.0", vram=192 * GiB, minor=128)
    files |= node(1, 90402, 128, bank_bytes=48 * GiB) | node(2, 90402, 128, bank_bytes=48 * GiB)
    devices, _ = amd_devices(write_tree(tmp_path, files), environ={})
    assert [(d.total_bytes, d.free_bytes) for d in devices] == [(48 * GiB, None)] * 2


def test_a_card_whose_node_the_container_lacks_is_said(tmp_path):
    files = card(0, "0000:03:00.0") | {"dev/dri/renderD200": ""}
    devices, notes = amd_devices(write_tree(tmp_path, files), environ={})
    assert devices == ()
    assert "not in this container" in notes[0]


def test_a_driver_without_memory_files_is_unknown(tmp_path):
    files = {
        "sys/class/drm/card0/device/vendor": "0x1002",
        "sys/class/drm/card0/device/uevent": "PCI_SLOT_NAME=0000:03:00.0",
    }
    (device,), _ = amd_devices(write_tree(tmp_path, files), environ={})
    assert (device.total_bytes, device.free_bytes) == (None, None)
    assert device.problem


def test_connectors_and_other_vendors_are_no_cards(tmp_path):
    files = {
        "sys/class/drm/card0-DP-1/device/vendor": "0x1002",
        "sys/class/drm/card1/device/vendor": "0x1a03",
    }
    assert amd_devices(write_tree(tmp_path, files), environ={}) == ((), ())


@pytest.mark.parametrize(
    ("version", "target"), [(110501, "gfx1151"), (90010, "gfx90a"), (90402, "gfx942"), (100300, "gfx1030")]
)
def test_targets(version, target):
    assert gfx_target(version) == target


def test_processor_nodes_are_no_gpus(tmp_path):
    assert kfd_nodes(write_tree(tmp_path, CPU_NODE)) == ()
