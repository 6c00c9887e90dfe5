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


def pod_fragment(node: Node, *, steady_bytes: int, worst_bytes: int, n_gpus: int) -> dict[str, Any]:
    """Resources and node selector of a pod for `node`: RAM rounded up to MiB, and `n_gpus` of its devices.

    Requested is what the server holds after loading; the limit is what it may grow to once every slot, prompt cache
    and checkpoint is full, so that it is not killed for what llama.cpp is set to keep.
    """
    gpus = {node.gpu_resource: str(n_gpus)} if n_gpus and node.gpu_resource is not None else {}
    resources = {
        "requests": {"memory": _mebibytes(steady_bytes), **gpus},
        "limits": {"memory": _mebibytes(worst_bytes), **gpus},
    }
    fragment: dict[str, Any] = {"spec": {"containers": [{"name": "llama-server", "resources": resources}]}}
    selector = node_selector(node, with_gpu=bool(n_gpus))
    if selector:
        fragment["spec"]["nodeSelector"] = selector
    return fragment


def _mebibytes(size_bytes: int) -> str:
    return f"{-(-size_bytes // MiB)}Mi"


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
