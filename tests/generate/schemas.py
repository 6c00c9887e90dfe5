"""docs/schema/*.json: the JSON Schema of everything that budget writes and reads."""

from __future__ import annotations

import json
from typing import Any

from budget.schema import SCHEMAS, json_schema


def files() -> dict[str, str]:
    """File name to text; the version is part of the name, so that an old one can stay beside a new one."""
    schemas = {name: json_schema(name) for name in SCHEMAS}
    return {
        f"{name}.{version(schema)}.json": json.dumps(schema, indent=2) + "\n"
        for name, schema in schemas.items()
    }


def version(schema: dict[str, Any]) -> str:
    """`v1` of `budget/fit/v1`."""
    named = schema.get("properties", {}).get("schema", {})
    return str(named.get("const", "budget/x/v1")).rsplit("/", 1)[1]
