"""An inventory from files: whichever of the known kinds it turns out to be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from budget.errors import MachineError
from budget.machine.device import Machine
from budget.machine.file import SCHEMA, load_machine, machine_from_json
from budget.machine.inventory.node import Node

INVENTORY_SCHEMA = "budget/inventory/v1"
MAX_FILE_BYTES = 1 << 30

V = TypeVar("V")


def load_inventory(
    path: str | Path, *, pods: str | Path | None = None, gpu_names: Mapping[str, str] | None = None
) -> tuple[Node, ...]:
    """The hosts that `path` describes, in its order.

    `path` is a folder of machine files (each named after its host), a machine file, the output of `kubectl get
    nodes -o json` (with `pods`, that of `kubectl get pods -A -o json`), of `scontrol show nodes --json`, or
    `{"schema": "budget/inventory/v1", "nodes": [{"name": ..., "machine": {...}}]}`.

    Raises:
        MachineError: it cannot be read, or is none of these.
    """
    where = Path(path)
    if where.is_dir():
        return _folder(where)
    data = _read(where)
    nodes = _known(data, where, pods, gpu_names)
    if not nodes:
        raise MachineError(f"{where}: no hosts in it")
    return nodes


def judge(nodes: Sequence[Node], plan: Callable[[Machine], V]) -> tuple[tuple[Node, V | None], ...]:
    """`plan` of every node's machine; None for a node that takes no work now."""
    return tuple((node, plan(node.machine) if node.problem is None else None) for node in nodes)


def _known(
    data: Any, where: Path, pods: str | Path | None, gpu_names: Mapping[str, str] | None
) -> tuple[Node, ...]:
    if not isinstance(data, dict):
        raise _unknown(where)
    if data.get("schema") == SCHEMA:
        return (Node(name=where.stem, machine=machine_from_json(data, where=str(where))),)
    if data.get("schema") == INVENTORY_SCHEMA:
        return _own(data, where)
    items, nodes = data.get("items"), data.get("nodes")
    if isinstance(items, list) or data.get("kind") == "Node":
        from budget.machine.inventory.kubernetes import kubernetes_nodes

        listed = [data] if data.get("kind") == "Node" else items
        found = [
            item for item in listed or [] if isinstance(item, dict) and item.get("kind", "Node") == "Node"
        ]
        return kubernetes_nodes(found, _pods(pods))
    if isinstance(nodes, list):
        from budget.machine.inventory.slurm import slurm_nodes

        return slurm_nodes(nodes, gpu_names=gpu_names)
    raise _unknown(where)


def _own(data: Mapping[str, Any], where: Path) -> tuple[Node, ...]:
    rows = data.get("nodes")
    if not isinstance(rows, list):
        raise MachineError(f"{where}: nodes is no list")
    nodes = []
    for i, row in enumerate(rows):
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise MachineError(f"{where}: nodes[{i}] has no name")
        machine = machine_from_json(row.get("machine"), where=f"{where}: nodes[{i}].machine")
        nodes.append(Node(name=row["name"], machine=machine))
    return tuple(nodes)


def _folder(where: Path) -> tuple[Node, ...]:
    files = sorted(where.glob("*.json"))
    if not files:
        raise MachineError(
            f"{where}: no .json files in it",
            hint="`budget devices --json > HOST.json` on each host makes them",
        )
    return tuple(Node(name=file.stem, machine=load_machine(file)) for file in files)


def _pods(path: str | Path | None) -> Sequence[Any]:
    if path is None:
        return ()
    data = _read(Path(path))
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(items, list):
        raise MachineError(f"{path}: no list of pods", hint="`kubectl get pods -A -o json` writes one")
    return items


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MachineError(f"{path}: larger than 1 GiB, no inventory is")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise MachineError(f"cannot read the inventory {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise MachineError(f"{path}: not JSON: {error}") from error


def _unknown(where: Path) -> MachineError:
    return MachineError(
        f"{where}: no inventory that budget knows",
        hint="kubectl get nodes -o json, scontrol show nodes --json, or a folder of `budget devices --json` files",
    )
