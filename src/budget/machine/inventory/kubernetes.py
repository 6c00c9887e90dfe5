"""Nodes of `kubectl get nodes -o json`, less what the pods of `kubectl get pods -A -o json` ask for.

Source: k8s-device-plugin, docs/gpu-feature-discovery (nvidia.com/gpu.* labels); Karpenter's AWS labels;
Kubernetes, "Node Allocatable" and the scheduler's sum of requests (init containers count as a maximum).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from budget.machine import catalog
from budget.machine.describe import DESCRIBED_CPU_FEATURES
from budget.machine.device import Device, Host, Machine
from budget.machine.hardware import device_of
from budget.machine.inventory.gpu import named_device, several
from budget.machine.inventory.node import Node
from budget.machine.inventory.quantity import whole
from budget.units import MiB

NVIDIA = "nvidia.com/gpu"
AMD = "amd.com/gpu"
_MIG = "nvidia.com/mig-"
_KARPENTER = "karpenter.k8s.aws/instance-gpu-"
MAX_DEVICES = 64


def kubernetes_nodes(items: Sequence[Any], pods: Sequence[Any] = ()) -> tuple[Node, ...]:
    """A `Node` for each item of a node list; what running pods request is taken off."""
    requested = _requests(pods)
    return tuple(_node(item, requested) for item in items if isinstance(item, dict))


def _node(item: Mapping[str, Any], requested: Mapping[str, Mapping[str, int]]) -> Node:
    metadata, status = _object(item, "metadata"), _object(item, "status")
    name = str(metadata.get("name", "?"))
    labels = {str(key): str(value) for key, value in _object(metadata, "labels").items()}
    allocatable = _object(status, "allocatable")
    taken = requested.get(name, {})
    resource, devices, notes = _devices(labels, allocatable, taken)
    return Node(
        name=name,
        machine=Machine(host=_host(labels, allocatable, taken), devices=devices, notes=notes),
        problem=_problem(item, status),
        labels=labels,
        gpu_resource=resource,
    )


def _object(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _host(labels: Mapping[str, str], allocatable: Mapping[str, Any], taken: Mapping[str, int]) -> Host:
    total_bytes = whole(allocatable.get("memory"))
    source = "allocatable memory" + (" less what pods request" if taken else "")
    available = None if total_bytes is None else max(0, total_bytes - taken.get("memory", 0))
    is_arm = labels.get("kubernetes.io/arch") == "arm64"
    return Host(
        ram_total_bytes=total_bytes,
        ram_available_bytes=available,
        cpu_features=("dotprod", "neon") if is_arm else DESCRIBED_CPU_FEATURES,
        sources={"ram_total_bytes": "allocatable memory", "ram_available_bytes": source},
    )


def _problem(item: Mapping[str, Any], status: Mapping[str, Any]) -> str | None:
    if _object(item, "spec").get("unschedulable") is True:
        return "cordoned"
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        if (
            isinstance(condition, dict)
            and condition.get("type") == "Ready"
            and condition.get("status") != "True"
        ):
            return "not ready"
    return None


def _devices(
    labels: Mapping[str, str], allocatable: Mapping[str, Any], taken: Mapping[str, int]
) -> tuple[str | None, tuple[Device, ...], tuple[str, ...]]:
    """(the resource a pod asks for, the devices that are left, notes)."""
    mig = [key for key in allocatable if key.startswith(_MIG) and (whole(allocatable[key]) or 0) > 0]
    if mig:
        return _mig_devices(mig, labels, allocatable, taken)
    for resource, make in ((NVIDIA, _nvidia_device), (AMD, _amd_device)):
        n_allocatable = whole(allocatable.get(resource)) or 0
        if n_allocatable > 0:
            n_physical, notes = _physical(n_allocatable, labels, resource)
            n_left = max(0, min(n_physical, n_allocatable - taken.get(resource, 0), MAX_DEVICES))
            return resource, several(make(labels), n_left), notes
    return None, (), ()


def _physical(n_allocatable: int, labels: Mapping[str, str], resource: str) -> tuple[int, tuple[str, ...]]:
    """Cards of the node: time-slicing multiplies what can be asked for, not the memory."""
    replicas = whole(labels.get(f"{resource}.replicas")) or 1
    strategy = labels.get(f"{resource}.sharing-strategy", "none")
    if replicas <= 1 or strategy == "none":
        return n_allocatable, ()
    count = whole(labels.get(f"{resource}.count")) or max(1, n_allocatable // replicas)
    return count, (
        f"{strategy}: {replicas} pods share each card and its memory; who else runs there is not known",
    )


def _nvidia_device(labels: Mapping[str, str]) -> Device:
    product = labels.get(f"{NVIDIA}.product", "").removesuffix("-SHARED") or None
    memory_mib = whole(labels.get(f"{NVIDIA}.memory")) or whole(labels.get(f"{_KARPENTER}memory"))
    major, minor = labels.get(f"{NVIDIA}.compute.major"), labels.get(f"{NVIDIA}.compute.minor")
    if product is None and memory_mib is None:
        from_type = _instance_device(labels)
        if from_type is not None:
            return from_type
    return named_device(
        product or labels.get(f"{_KARPENTER}name"),
        nvml_bytes=None if memory_mib is None else memory_mib * MiB,
        compute_capability=f"{major}.{minor}" if major and minor else None,
    )


def _instance_device(labels: Mapping[str, str]) -> Device | None:
    """The card of the cloud instance type, where the catalogue has it."""
    found = catalog.find(labels.get("node.kubernetes.io/instance-type", ""), kinds=("instance",))
    if len(found) != 1 or not found[0].gpus:
        return None
    return named_device(found[0].gpus[0][0])


def _amd_device(labels: Mapping[str, str]) -> Device:
    """The AMD labeller writes `amd.com/gpu.vram` as `64G`, meaning GiB."""
    product = labels.get(f"{AMD}.product-name", labels.get("beta.amd.com/gpu.product-name", "")).replace(
        "_", " "
    )
    vram = labels.get(f"{AMD}.vram", labels.get("beta.amd.com/gpu.vram", ""))
    size = f":{vram}" if vram else ""
    found = catalog.find(product + size) or catalog.find(product)
    if len(found) == 1:
        return device_of(found[0])
    total_bytes = whole(f"{vram}i") if vram else None
    return Device(
        name="ROCm0",
        backend="hip",
        description=product or "AMD GPU",
        total_bytes=total_bytes,
        free_bytes=total_bytes,
        sources={"total_bytes": "the node's label", "free_bytes": "the node's label"},
    )


def _mig_devices(
    resources: Sequence[str],
    labels: Mapping[str, str],
    allocatable: Mapping[str, Any],
    taken: Mapping[str, int],
) -> tuple[str | None, tuple[Device, ...], tuple[str, ...]]:
    """The largest MIG instance that is left: CUDA opens one per process, so more would not help."""
    rows = []
    for resource in resources:
        n_left = (whole(allocatable[resource]) or 0) - taken.get(resource, 0)
        memory_mib = whole(labels.get(f"{resource}.memory"))
        rows.append((memory_mib or 0, n_left, resource))
    for memory_mib, n_left, resource in sorted(rows, reverse=True):
        if n_left > 0:
            product = labels.get(f"{resource}.product") or resource
            device = named_device(product, nvml_bytes=memory_mib * MiB if memory_mib else None)
            return resource, (replace(device, name="CUDA0"),), ("CUDA opens one MIG instance per process",)
    return resources[0], (), ("every MIG instance is taken",)


def _requests(pods: Sequence[Any]) -> dict[str, dict[str, int]]:
    """What the pods of each node request: bytes of memory, and counts of devices, by resource."""
    totals: dict[str, dict[str, int]] = {}
    for pod in pods:
        if not isinstance(pod, dict) or _object(pod, "status").get("phase") in ("Succeeded", "Failed"):
            continue
        spec = _object(pod, "spec")
        node = totals.setdefault(str(spec.get("nodeName", "")), {})
        for resource, amount in _pod_requests(spec).items():
            node[resource] = node.get(resource, 0) + amount
    return totals


def _pod_requests(spec: Mapping[str, Any]) -> dict[str, int]:
    containers = [_container(c) for c in spec.get("containers") or []]
    first = [_container(c) for c in spec.get("initContainers") or []]
    names = {name for requests in (*containers, *first) for name in requests}
    overhead = dict(_amounts(_object(spec, "overhead")))
    return {
        name: max(
            sum(requests.get(name, 0) for requests in containers),
            max((requests.get(name, 0) for requests in first), default=0),
        )
        + overhead.get(name, 0)
        for name in names | overhead.keys()
    }


def _container(container: Any) -> dict[str, int]:
    resources = _object(container, "resources") if isinstance(container, dict) else {}
    return dict(_amounts(_object(resources, "limits"))) | dict(_amounts(_object(resources, "requests")))


def _amounts(table: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Memory and devices; a limit without a request is the request."""
    for name, text in table.items():
        amount = whole(text)
        if amount is not None and (name == "memory" or "/" in name):
            yield name, amount
