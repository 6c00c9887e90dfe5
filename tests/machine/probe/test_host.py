"""RAM of the host inside every limit."""

import pytest

from budget.machine.probe.cpu import cpu_features, features_from_sysctl
from budget.machine.probe.host import gpu_node_memory, probe_host
from budget.machine.probe.limits import overcommit_limits, slurm_limits, ulimits
from machine.fakes import GiB, MiB, write_tree

MEMINFO = f"MemTotal: {64 * GiB // 1024} kB\nMemFree: 1 kB\nMemAvailable: {48 * GiB // 1024} kB"
CGROUP = {
    "proc/self/cgroup": "0::/job",
    "proc/self/mountinfo": "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "sys/fs/cgroup/job/memory.max": 2 * GiB,
    "sys/fs/cgroup/job/memory.current": 256 * MiB,
}


def host_of(root, **kwargs):
    return probe_host(root, environ=kwargs.pop("environ", {}), platform="linux", rlimits=(), **kwargs)


def test_without_limits_it_is_meminfo(tmp_path):
    host, notes = host_of(write_tree(tmp_path, {"proc/meminfo": MEMINFO}))
    assert (host.ram_total_bytes, host.ram_available_bytes) == (64 * GiB, 48 * GiB)
    assert host.sources["ram_available_bytes"] == "MemTotal and MemAvailable of /proc/meminfo"
    assert notes == ()


def test_a_cgroup_limit_wins_and_is_named(tmp_path):
    host, notes = host_of(write_tree(tmp_path, {"proc/meminfo": MEMINFO} | CGROUP))
    assert (host.ram_total_bytes, host.ram_available_bytes) == (2 * GiB, 1792 * MiB)
    assert host.sources["ram_total_bytes"] == "memory.max of /sys/fs/cgroup/job"
    assert "1.75 GiB can be used" in notes[0]
    assert "48.0" in notes[0]


def test_a_limit_above_what_is_available_changes_the_total_alone(tmp_path):
    files = {"proc/meminfo": MEMINFO} | CGROUP | {"sys/fs/cgroup/job/memory.max": 60 * GiB}
    host, _ = host_of(write_tree(tmp_path, files))
    assert (host.ram_total_bytes, host.ram_available_bytes) == (60 * GiB, 48 * GiB)


def test_unknown_ram_stays_unknown(tmp_path):
    host, _ = host_of(tmp_path)
    assert (host.ram_total_bytes, host.ram_available_bytes) == (None, None)


def test_a_slurm_job_is_a_limit(tmp_path):
    host, _ = host_of(write_tree(tmp_path, {"proc/meminfo": MEMINFO}), environ={"SLURM_MEM_PER_NODE": "4096"})
    assert host.ram_available_bytes == 4 * GiB


def test_the_zfs_cache_is_said_and_not_added(tmp_path):
    files = {
        "proc/meminfo": MEMINFO,
        "proc/spl/kstat/zfs/arcstats": f"name type data\nc_min 4 {GiB}\nsize 4 {5 * GiB}",
    }
    host, notes = host_of(write_tree(tmp_path, files))
    assert host.ram_available_bytes == 48 * GiB
    assert "4.00 GiB" in notes[0]


def test_hbm_that_the_kernel_counts_as_ram_is_taken_off(tmp_path):
    files = {
        "proc/meminfo": MEMINFO,
        "proc/cpuinfo": "processor : 0\nCPU implementer : 0x41\nFeatures : asimd asimddp i8mm sve",
        "proc/driver/nvidia/version": "580",
        "sys/devices/system/node/node0/cpulist": "0-71",
        "sys/devices/system/node/node0/meminfo": f"Node 0 MemTotal: {48 * GiB // 1024} kB",
        "sys/devices/system/node/node1/cpulist": "",
        "sys/devices/system/node/node1/meminfo": f"Node 1 MemTotal: {16 * GiB // 1024} kB\n"
        f"Node 1 MemFree: {12 * GiB // 1024} kB",
    }
    root = write_tree(tmp_path, files)
    assert gpu_node_memory(root) == (16 * GiB, 12 * GiB)
    host, _ = host_of(root)
    assert (host.ram_total_bytes, host.ram_available_bytes) == (48 * GiB, 36 * GiB)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param({}, [], id="no-job"),
        pytest.param({"SLURM_MEM_PER_NODE": "2048"}, [2 * GiB], id="per-node-in-MiB"),
        pytest.param({"SLURM_MEM_PER_NODE": "0"}, [], id="zero-is-the-whole-node"),
        pytest.param({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "8"}, [8 * GiB], id="per-cpu"),
        pytest.param({"SLURM_MEM_PER_CPU": "1024"}, [], id="per-cpu-without-a-count"),
        pytest.param({"SLURM_MEM_PER_NODE": "lots"}, [], id="nonsense"),
    ],
)
def test_slurm_limits(environ, expected):
    assert [limit.available_bytes for limit in slurm_limits(environ)] == expected


def test_strict_overcommit_limits_by_what_is_left_to_commit(tmp_path):
    files = {
        "proc/sys/vm/overcommit_memory": 2,
        "proc/meminfo": "CommitLimit: 4096 kB\nCommitted_AS: 1024 kB",
    }
    (limit,) = overcommit_limits(write_tree(tmp_path, files))
    assert (limit.total_bytes, limit.available_bytes) == (4 * MiB, 3 * MiB)


@pytest.mark.parametrize("mode", [0, 1])
def test_other_overcommit_modes_limit_nothing(tmp_path, mode):
    files = {"proc/sys/vm/overcommit_memory": mode, "proc/meminfo": "CommitLimit: 1 kB\nCommitted_AS: 1 kB"}
    assert overcommit_limits(write_tree(tmp_path, files)) == ()


def test_ulimit_v_is_a_limit_with_a_warning_about_cuda(tmp_path):
    rlimits = ulimits({"RLIMIT_AS": 8 * GiB}.get)
    assert [limit.total_bytes for limit in rlimits] == [8 * GiB]
    root = write_tree(tmp_path, {"proc/meminfo": MEMINFO})
    host, notes = probe_host(root, environ={}, platform="linux", rlimits=rlimits)
    assert host.ram_available_bytes == 8 * GiB
    assert any("address space" in note for note in notes)


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        pytest.param("flags : fpu sse2 avx avx2 fma f16c", {"avx", "avx2", "fma", "f16c"}, id="x86-64-v3"),
        pytest.param(
            "flags : avx512f avx512_vnni amx_int8",
            {"avx512f", "avx512_vnni", "amx_int8"},
            id="sapphire-rapids",
        ),
        pytest.param(
            "Features : fp asimd asimddp i8mm", {"neon", "dotprod", "i8mm"}, id="arm-names-become-ggml's"
        ),
        pytest.param("isa : rv64imafdcv_zicsr", {"rvv"}, id="risc-v-vector"),
        pytest.param("isa : rv64imafdc_zvl128b", set(), id="risc-v-without-vector"),
        pytest.param("model : 1", set(), id="unknown"),
    ],
)
def test_cpu_features(tmp_path, cpuinfo, expected):
    assert set(cpu_features(write_tree(tmp_path, {"proc/cpuinfo": cpuinfo}), platform="linux")) == expected


@pytest.mark.parametrize(("length", "expected"), [(32, True), (16, False)])
def test_sve_repacks_only_at_32_bytes(tmp_path, length, expected):
    files = {"proc/cpuinfo": "Features : asimd sve i8mm", "proc/sys/abi/sve_default_vector_length": length}
    assert ("sve_256" in cpu_features(write_tree(tmp_path, files), platform="linux")) is expected


def test_mac_features_come_from_sysctl():
    answers = {"hw.optional.arm.FEAT_DotProd": 1, "hw.optional.arm.FEAT_I8MM": 0, "hw.optional.neon": 1}
    assert features_from_sysctl(answers.get) == ("dotprod", "neon")
