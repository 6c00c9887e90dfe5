"""The shape of every JSON object that budget writes or reads, as pydantic models; JSON Schema comes from them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from budget.schema import advice, context, files, fleet, grid, machine, plan, tensors

SCHEMAS: dict[str, type[BaseModel]] = {
    "fit": plan.Fit,
    "max-ctx": context.MaxCtx,
    "inspect": tensors.Inspect,
    "place": tensors.Place,
    "verify": tensors.Verify,
    "advise": advice.Advise,
    "sweep": grid.Sweep,
    "diff": grid.Diff,
    "check": grid.Check,
    "fleet": fleet.Fleet,
    "admission": fleet.Admission,
    "evict": fleet.Evict,
    "request": fleet.Request,
    "profile": fleet.Profile,
    "config": fleet.Config,
    "machine": machine.MachineFile,
    "hardware": machine.Hardware,
    "scan": machine.Scan,
    "quants": machine.Quants,
    "fit-inventory": machine.FitInventory,
    "cache": machine.Cache,
    "schemas": machine.Schemas,
    "ledger": files.LedgerFile,
    "inventory": files.InventoryFile,
    "gate-file": files.GateFile,
    "config-file": files.ConfigFile,
}
"""Name for `budget schema NAME`."""


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of `budget/NAME/v1`.

    Raises:
        UsageError: there is no such schema.
    """
    from budget.errors import UsageError

    if name not in SCHEMAS:
        raise UsageError(f"no schema {name!r}", hint=f"schemas: {', '.join(SCHEMAS)}")
    schema = SCHEMAS[name].model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": f"budget/{name}/v1"}


def schemas_object() -> dict[str, Any]:
    """`budget/schemas/v1`: every name that `json_schema` takes, and what it describes."""
    rows = [{"name": name, "description": _first_sentence(model)} for name, model in SCHEMAS.items()]
    return {"schema": "budget/schemas/v1", "schemas": rows}


def _first_sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split()).replace("`", "").rstrip(".")
