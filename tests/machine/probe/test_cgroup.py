"""Memory limits of control groups, from trees of files."""

import pytest

from budget.machine.probe.cgroup import cgroup_limits
from machine.fakes import GiB, MiB, write_tree

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"


def v2(path, files):
    return {"proc/self/cgroup": f"0::{path}", "proc/self/mountinfo": V2_MOUNT} | {
        f"sys/fs/cgroup/{name}": text for name, text in files.items()
    }


def v1(path, files, mount=V1_MOUNT):
    return {"proc/self/cgroup": f"4:cpu,memory:{path}\n0::/", "proc/self/mountinfo": mount} | {
        f"sys/fs/cgroup/memory/{name}": text for name, text in files.items()
    }


CASES = [
    pytest.param({}, [], id="no-cgroups-at-all"),
    pytest.param(v2("/", {"memory.stat": "inactive_file 0"}), [], id="v2-root-has-no-limit"),
    pytest.param(v2("/job", {"job/memory.max": "max", "job/memory.current": 5}), [], id="v2-max-is-no-limit"),
    pytest.param(
        v2("/job", {"job/memory.max": 2 * GiB, "job/memory.current": 512 * MiB}),
        [("memory.max of /sys/fs/cgroup/job", 2 * GiB, 1536 * MiB)],
        id="v2-limit-less-usage",
    ),
    pytest.param(
        v2(
            "/job",
            {
                "job/memory.max": 2 * GiB,
                "job/memory.current": 1536 * MiB,
                "job/memory.stat": f"anon {256 * MiB}\ninactive_file {512 * MiB}\nactive_file {256 * MiB}\n"
                f"slab_reclaimable {256 * MiB}",
            },
        ),
        [("memory.max of /sys/fs/cgroup/job", 2 * GiB, 1536 * MiB)],
        id="v2-page-cache-and-slab-can-be-reclaimed",
    ),
    pytest.param(
        v2(
            "/a/b",
            {
                "a/b/memory.max": 4 * GiB,
                "a/b/memory.high": 3 * GiB,
                "a/b/memory.current": 0,
                "a/memory.max": 2 * GiB,
                "a/memory.current": GiB,
            },
        ),
        [
            ("memory.max of /sys/fs/cgroup/a/b", 4 * GiB, 4 * GiB),
            ("memory.high of /sys/fs/cgroup/a/b", 3 * GiB, 3 * GiB),
            ("memory.max of /sys/fs/cgroup/a", 2 * GiB, GiB),
        ],
        id="v2-every-level-and-memory-high",
    ),
    pytest.param(
        v2("/../other", {"memory.max": GiB, "memory.current": 0}),
        [("memory.max of /sys/fs/cgroup", GiB, GiB)],
        id="v2-namespace-path-outside-the-mount",
    ),
    pytest.param(
        v2("/host/path", {"memory.max": GiB, "memory.current": 0}),
        [("memory.max of /sys/fs/cgroup", GiB, GiB)],
        id="v2-path-that-is-not-there",
    ),
    pytest.param(
        v2("/job", {"job/memory.max": GiB, "job/memory.current": 3 * GiB}),
        [("memory.max of /sys/fs/cgroup/job", GiB, 0)],
        id="v2-over-its-limit-leaves-nothing",
    ),
    pytest.param(
        v2("/job", {"job/memory.max": "garbage", "job/memory.current": "?"}), [], id="v2-nonsense-is-no-limit"
    ),
    pytest.param(
        v1("/job", {"job/memory.limit_in_bytes": 9223372036854771712}), [], id="v1-no-limit-is-a-huge-number"
    ),
    pytest.param(
        v1(
            "/job",
            {
                "job/memory.limit_in_bytes": 2 * GiB,
                "job/memory.usage_in_bytes": GiB,
                "job/memory.stat": f"inactive_file 1\ntotal_inactive_file {256 * MiB}\ntotal_active_file {256 * MiB}",
            },
        ),
        [("memory.limit_in_bytes of /sys/fs/cgroup/memory/job", 2 * GiB, 1536 * MiB)],
        id="v1-hierarchical-page-cache",
    ),
    pytest.param(
        v1(
            "/docker/abc/x",
            {"x/memory.limit_in_bytes": GiB, "x/memory.usage_in_bytes": 0},
            mount=V1_MOUNT.replace(" / /sys", " /docker/abc /sys"),
        ),
        [("memory.limit_in_bytes of /sys/fs/cgroup/memory/x", GiB, GiB)],
        id="v1-docker-mounts-its-own-group",
    ),
]


@pytest.mark.parametrize(("files", "expected"), CASES)
def test_limits_are_found_at_every_level(tmp_path, files, expected):
    found = cgroup_limits(write_tree(tmp_path, files))
    assert [(limit.source, limit.total_bytes, limit.available_bytes) for limit in found] == expected
