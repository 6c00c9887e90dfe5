"""docs/schema/: the JSON Schema of everything that budget writes and reads, and a list of them."""

from __future__ import annotations

import json
from typing import Any

from budget.schema import SCHEMAS, json_schema

HEAD = """\
<!-- Written by `python -m tests.generated`; do not edit. -->
# JSON Schema

`budget schema NAME` prints these. The version is part of the name: what changes the meaning of a field, or takes one
away, is a new version beside the old one.

| schema | of |
|---|---|
"""


def files() -> dict[str, str]:
    """File name to text."""
    schemas = {name: json_schema(name) for name in SCHEMAS}
    found = {
        f"{name}.{version(schema)}.json": json.dumps(schema, indent=2) + "\n"
        for name, schema in schemas.items()
    }
    rows = [
        f"| [{name}]({name}.{version(schema)}.json) | {' '.join(schema.get('description', '').split())} |\n"
        for name, schema in schemas.items()
    ]
    return {**found, "README.md": HEAD + "".join(rows)}


def version(schema: dict[str, Any]) -> str:
    """`v1` of `budget/fit/v1`."""
    named = schema.get("properties", {}).get("schema", {})
    return str(named.get("const", "budget/x/v1")).rsplit("/", 1)[1]
