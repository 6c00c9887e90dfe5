"""What a pod asks Kubernetes for, so that it lands on a node that fits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from budget.machine.inventory.node import Node
from budget.units import MiB

SELECTOR_LABELS = (
    "nvidia.com/gpu.product",
    "amd.com/gpu.product-name",
    "karpenter.k8s.aws/instance-gpu-name",
    "node.kubernetes.io/instance-type",
    "kubernetes.io/hostname",
)
"""Labels that tell one kind of node from another, the most telling first."""


def pod_fragment(node: Node, *, ram_bytes: int, n_gpus: int) -> dict[str, Any]:
    """Resources and node selector of a pod for `node`: RAM rounded up to MiB, and `n_gpus` of its devices.

    Memory is requested and limited alike, so that the pod is killed for nothing but its own growth.
    """
    memory = f"{-(-ram_bytes // MiB)}Mi"
    amounts: dict[str, str] = {"memory": memory}
    if n_gpus and node.gpu_resource is not None:
        amounts[node.gpu_resource] = str(n_gpus)
    fragment: dict[str, Any] = {
        "spec": {
            "containers": [
                {"name": "llama-server", "resources": {"requests": amounts, "limits": dict(amounts)}}
            ],
        }
    }
    selector = node_selector(node, with_gpu=bool(n_gpus))
    if selector:
        fragment["spec"]["nodeSelector"] = selector
    return fragment


def node_selector(node: Node, *, with_gpu: bool) -> dict[str, str]:
    """Labels that keep the pod on nodes like `node`."""
    arch = node.labels.get("kubernetes.io/arch")
    selector = {} if arch is None else {"kubernetes.io/arch": arch}
    for label in SELECTOR_LABELS if with_gpu else ():
        if label in node.labels:
            return {**selector, label: node.labels[label]}
    return selector


def to_yaml(value: Any, *, indent: int = 0) -> str:
    """`value` (objects, lists and strings) as YAML; every string quoted, as JSON quotes it."""
    import json

    pad = " " * indent
    if isinstance(value, Mapping):
        return "".join(f"{pad}{key}:{_child(item, indent)}" for key, item in value.items())
    if isinstance(value, list):
        return "".join(f"{pad}- {to_yaml(item, indent=indent + 2).lstrip()}" for item in value)
    return f"{pad}{json.dumps(value)}\n"


def _child(item: Any, indent: int) -> str:
    if isinstance(item, (Mapping, list)):
        return "\n" + to_yaml(item, indent=indent + 2)
    return " " + to_yaml(item).lstrip()
