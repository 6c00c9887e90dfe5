"""Inventories of many hosts, from what kubectl and scontrol print."""

import json

import pytest

from budget.errors import MachineError
from budget.machine.device import Host, Machine
from budget.machine.file import machine_to_json
from budget.machine.inventory.emit import node_selector, pod_fragment, to_yaml
from budget.machine.inventory.kubernetes import kubernetes_nodes
from budget.machine.inventory.load import judge, load_inventory
from budget.machine.inventory.quantity import parse_quantity, whole
from budget.machine.inventory.slurm import parse_gres, slurm_nodes
from machine.fakes import GiB, MiB

A100 = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/gpu.compute.major": "8",
    "nvidia.com/gpu.compute.minor": "0",
}


def k8s(name="n1", labels=None, allocatable=None, **extra):
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "status": {"allocatable": {"memory": "64Gi"} | (allocatable or {}), **extra.pop("status", {})},
        **extra,
    }


def pod(node, requests=None, phase="Running", **spec):
    containers = [{"resources": {"requests": requests or {}}}]
    return {"spec": {"nodeName": node, "containers": containers, **spec}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("16Gi", 16 * GiB), ("1.5Gi", 1536 * MiB), ("100M", 10**8), ("1e3", 1000), ("12E2", 1200), ("500m", 0.5),
        ("2500m", 2.5), ("1E", 10**18), ("1Ei", 1 << 60), ("7", 7), (".5k", 500), ("1k", 1000), ("1000000n", 0.001),
    ],
)  # fmt: skip
def test_quantities(text, expected):
    assert float(parse_quantity(text)) == expected


@pytest.mark.parametrize("text", ["", "16GiB", "Gi", "1 Gi", "1K", "0x10", "1e", "--1", "1e9999"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="not a Kubernetes quantity"):
        parse_quantity(text)
    assert whole(text) is None


class TestKubernetes:
    def test_a_labelled_node_has_its_cards_from_the_catalogue(self):
        (node,) = kubernetes_nodes([k8s(labels=A100, allocatable={"nvidia.com/gpu": "2"})])
        assert node.machine.host.ram_available_bytes == 64 * GiB
        assert [device.name for device in node.machine.devices] == ["CUDA0", "CUDA1"]
        assert node.machine.devices[0].description == "NVIDIA A100-SXM4-80GB"
        assert node.machine.devices[0].total_bytes == 85092990976
        assert (node.gpu_resource, node.problem) == ("nvidia.com/gpu", None)

    def test_a_card_that_the_catalogue_lacks_has_its_label_less_a_reserve(self):
        labels = {"nvidia.com/gpu.product": "NVIDIA-X1", "nvidia.com/gpu.memory": "10240"}
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable={"nvidia.com/gpu": "1"})])
        assert node.machine.devices[0].total_bytes == (10240 - 460) * MiB  # 400 + 6 per GiB

    def test_without_labels_memory_is_unknown_and_says_why(self):
        (node,) = kubernetes_nodes([k8s(allocatable={"nvidia.com/gpu": "1"})])
        assert node.machine.devices[0].total_bytes is None
        assert "does not say" in node.machine.devices[0].problem

    def test_the_instance_type_helps_where_labels_are_missing(self):
        labels = {"node.kubernetes.io/instance-type": "g6e.xlarge"}
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable={"nvidia.com/gpu": "1"})])
        assert node.machine.devices[0].description == "NVIDIA L40S"

    def test_karpenter_names_the_card(self):
        labels = {
            "karpenter.k8s.aws/instance-gpu-name": "l40s",
            "karpenter.k8s.aws/instance-gpu-memory": "45776",
        }
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable={"nvidia.com/gpu": "1"})])
        assert node.machine.devices[0].description == "NVIDIA L40S"

    def test_time_slicing_multiplies_pods_and_not_memory(self):
        labels = A100 | {
            "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-SHARED",
            "nvidia.com/gpu.count": "1",
            "nvidia.com/gpu.replicas": "5",
            "nvidia.com/gpu.sharing-strategy": "time-slicing",
        }
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable={"nvidia.com/gpu": "5"})])
        assert len(node.machine.devices) == 1
        assert "5 pods share each card" in node.machine.notes[0]

    def test_mig_gives_the_largest_instance_that_is_left(self):
        allocatable = {"nvidia.com/mig-1g.5gb": "2", "nvidia.com/mig-3g.20gb": "1"}
        labels = {
            "nvidia.com/mig-1g.5gb.memory": "4864",
            "nvidia.com/mig-3g.20gb.memory": "19968",
            "nvidia.com/mig-3g.20gb.product": "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb",
        }
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable=allocatable)])
        assert node.gpu_resource == "nvidia.com/mig-3g.20gb"
        assert len(node.machine.devices) == 1
        (node,) = kubernetes_nodes(
            [k8s(labels=labels, allocatable=allocatable)], [pod("n1", {"nvidia.com/mig-3g.20gb": "1"})]
        )
        assert node.gpu_resource == "nvidia.com/mig-1g.5gb"

    def test_pods_take_memory_and_cards_off(self):
        pods = [
            pod("n1", {"memory": "8Gi", "nvidia.com/gpu": "1"}),
            pod("n1", {"memory": "1Gi"}, initContainers=[{"resources": {"requests": {"memory": "4Gi"}}}]),
            pod("n1", {"memory": "30Gi"}, phase="Succeeded"),
            pod("other", {"memory": "30Gi"}),
            {"spec": {"nodeName": "n1", "containers": [{"resources": {"limits": {"memory": "2Gi"}}}]}},
        ]
        (node,) = kubernetes_nodes([k8s(labels=A100, allocatable={"nvidia.com/gpu": "2"})], pods)
        assert node.machine.host.ram_available_bytes == (64 - 8 - 4 - 2) * GiB
        assert len(node.machine.devices) == 1

    def test_nodes_that_take_no_work(self):
        cordoned = k8s(spec={"unschedulable": True})
        down = k8s(status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
        assert [node.problem for node in kubernetes_nodes([cordoned, down])] == ["cordoned", "not ready"]

    def test_an_arm_node_has_an_arm_processor(self):
        (node,) = kubernetes_nodes([k8s(labels={"kubernetes.io/arch": "arm64"})])
        assert node.machine.host.cpu_features == ("dotprod", "neon")

    def test_amd_cards(self):
        labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X", "amd.com/gpu.vram": "192G"}
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable={"amd.com/gpu": "8"})])
        assert [device.name for device in node.machine.devices][:2] == ["ROCm0", "ROCm1"]
        assert len(node.machine.devices) == 8

    def test_nonsense_is_passed_over_and_never_crashes(self):
        items = [
            5,
            {},
            {"metadata": {"labels": []}, "status": {"allocatable": {"memory": [], "nvidia.com/gpu": "x"}}},
        ]
        nodes = kubernetes_nodes(items, [None, {"spec": {}}])
        assert [node.machine.host.ram_total_bytes for node in nodes] == [None, None]


class TestSlurm:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("gpu:h100:4(S:0-1)", (("gpu", "h100", 4),)),
            ("gpu:4", (("gpu", None, 4),)),
            (
                "gpu:a100:2(S:0,1),gpu:v100:1,shard:8",
                (("gpu", "a100", 2), ("gpu", "v100", 1), ("shard", None, 8)),
            ),
            ("gpu", (("gpu", None, 1),)),
            ("gpu:a100:2(IDX:0,2)", (("gpu", "a100", 2),)),
            ("", ()),
            ("(null)", ()),
        ],
    )
    def test_gres(self, text, expected):
        assert parse_gres(text) == expected

    def test_a_node_is_what_jobs_leave(self):
        item = {
            "name": "gpu01",
            "state": ["MIXED"],
            "real_memory": 512000,
            "alloc_memory": 12000,
            "gres": "gpu:h200:4(S:0-1)",
            "gres_used": "gpu:h200:1(IDX:0)",
        }
        (node,) = slurm_nodes([item], gpu_names={"h200": "nvidia-h200"})
        assert node.machine.host.ram_available_bytes == 500000 * MiB
        assert [(d.name, d.total_bytes) for d in node.machine.devices] == [
            (f"CUDA{i}", 150109880320) for i in range(3)
        ]
        assert node.problem is None

    def test_a_site_name_that_means_several_cards_stays_unknown(self):
        (node,) = slurm_nodes([{"name": "n", "gres": "gpu:a100:1", "real_memory": 1}])
        assert node.machine.devices[0].total_bytes is None
        assert "say which" in node.machine.devices[0].problem

    @pytest.mark.parametrize(
        ("state", "expected"),
        [
            ("IDLE", None),
            ("IDLE+DRAIN", "drain"),
            (["DOWN", "NOT_RESPONDING"], "down, not_responding"),
            ("DOWN*", "down*"),
        ],
    )
    def test_states(self, state, expected):
        assert slurm_nodes([{"name": "n", "state": state}])[0].problem == expected

    def test_numbers_in_slurms_own_form(self):
        item = {"name": "n", "real_memory": {"set": True, "infinite": False, "number": 1024}}
        assert slurm_nodes([item])[0].machine.host.ram_total_bytes == GiB


class TestLoad:
    machine = Machine(host=Host(ram_total_bytes=8 * GiB, ram_available_bytes=8 * GiB))

    def write(self, path, data):
        path.write_text(json.dumps(data))
        return path

    def test_a_folder_of_machine_files(self, tmp_path):
        for name in ("b", "a"):
            self.write(tmp_path / f"{name}.json", machine_to_json(self.machine))
        assert [(node.name, node.machine) for node in load_inventory(tmp_path)] == [
            ("a", self.machine),
            ("b", self.machine),
        ]

    def test_every_kind_of_file_is_recognised(self, tmp_path):
        row = {"name": "x", "machine": machine_to_json(self.machine)}
        files = {
            "k8s": {"kind": "List", "items": [k8s("k1"), k8s("k2")]},
            "one": k8s("k3"),
            "slurm": {"meta": {}, "nodes": [{"name": "s1", "real_memory": 1}]},
            "machine": machine_to_json(self.machine),
            "own": {"schema": "budget/inventory/v1", "nodes": [row]},
        }
        names = {
            kind: [n.name for n in load_inventory(self.write(tmp_path / f"{kind}.json", data))]
            for kind, data in files.items()
        }
        assert names == {
            "k8s": ["k1", "k2"], "one": ["k3"], "slurm": ["s1"], "machine": ["machine"], "own": ["x"],
        }  # fmt: skip

    def test_pods_come_from_their_own_file(self, tmp_path):
        nodes = self.write(tmp_path / "nodes.json", {"items": [k8s("k1")]})
        pods = self.write(tmp_path / "pods.json", {"items": [pod("k1", {"memory": "60Gi"})]})
        (node,) = load_inventory(nodes, pods=pods)
        assert node.machine.host.ram_available_bytes == 4 * GiB

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("[]", "no inventory that budget knows"),
            ("{}", "no inventory that budget knows"),
            ("{", "not JSON"),
            ('{"items": []}', "no hosts"),
            ('{"schema": "budget/inventory/v1", "nodes": [{}]}', "has no name"),
            ('{"schema": "budget/inventory/v1", "nodes": [{"name": "a"}]}', "nodes[0].machine"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path, text, words):
        path = tmp_path / "bad.json"
        path.write_text(text)
        with pytest.raises(MachineError) as error:
            load_inventory(path)
        assert words in error.value.message
        assert str(path) in error.value.message

    def test_an_empty_folder_and_a_missing_file(self, tmp_path):
        with pytest.raises(MachineError, match=r"no \.json files"):
            load_inventory(tmp_path)
        with pytest.raises(MachineError, match="cannot read"):
            load_inventory(tmp_path / "no.json")

    def test_only_nodes_that_take_work_are_judged(self):
        nodes = kubernetes_nodes([k8s("good"), k8s("bad", spec={"unschedulable": True})])
        assert [verdict for _, verdict in judge(nodes, lambda machine: machine.host.ram_total_bytes)] == [
            64 * GiB,
            None,
        ]


class TestEmit:
    def test_a_pod_asks_for_ram_and_cards_and_selects_the_product(self):
        labels = A100 | {"kubernetes.io/arch": "amd64", "kubernetes.io/hostname": "n1"}
        (node,) = kubernetes_nodes([k8s(labels=labels, allocatable={"nvidia.com/gpu": "2"})])
        spec = pod_fragment(node, steady_bytes=GiB + 1, worst_bytes=9 * GiB, n_gpus=2)["spec"]
        assert spec["containers"][0]["resources"] == {
            "requests": {"memory": "1025Mi", "nvidia.com/gpu": "2"},
            "limits": {"memory": "9216Mi", "nvidia.com/gpu": "2"},
        }
        assert spec["nodeSelector"] == {
            "kubernetes.io/arch": "amd64",
            "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
        }

    def test_without_a_card_any_node_of_the_processor_will_do(self):
        (node,) = kubernetes_nodes(
            [k8s(labels={"kubernetes.io/arch": "arm64", "kubernetes.io/hostname": "n1"})]
        )
        assert node_selector(node, with_gpu=False) == {"kubernetes.io/arch": "arm64"}
        assert (
            "nvidia.com/gpu"
            not in pod_fragment(node, steady_bytes=1, worst_bytes=1, n_gpus=0)["spec"]["containers"][0][
                "resources"
            ]
        )

    def test_yaml(self):
        text = to_yaml({"spec": {"containers": [{"name": "a", "resources": {"limits": {"memory": "1Mi"}}}]}})
        assert text == (
            "spec:\n"
            "  containers:\n"
            '    - name: "a"\n'
            "      resources:\n"
            "        limits:\n"
            '          memory: "1Mi"\n'
        )
