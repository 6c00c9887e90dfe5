"""The schemas of input files against what reads these files."""

from __future__ import annotations

import tomllib

import pytest
from pydantic import ValidationError

from budget.planning import gate, ledger
from budget.planning.config import KEYS
from budget.planning.residents import Resident
from budget.schema import SCHEMAS, json_schema
from budget.schema.files import GateFile, GateMachine, GateRow, GateShared


def keys(model):
    return set(model.model_fields)


def test_a_gate_file_has_the_keys_that_the_parser_knows():
    assert keys(GateFile) == set(gate._TOP)
    assert keys(GateShared) == set(gate._SHARED)
    assert keys(GateRow) == set(gate._GATE)
    assert keys(GateMachine) == set(gate._MACHINE)


def test_the_example_of_check_is_a_gate_file():
    from budget.render.gate_example import EXAMPLE

    SCHEMAS["gate-file"].model_validate(tomllib.loads(EXAMPLE))


def test_a_gate_file_without_gates_or_with_an_unknown_key_is_none():
    for text in ("", "[[gate]]\nmodell = 'a'"):
        with pytest.raises(ValidationError):
            SCHEMAS["gate-file"].model_validate(tomllib.loads(text))


def test_budget_toml_has_every_option_with_its_help():
    schema = json_schema("config-file")
    assert list(schema["properties"]) == [key.name for key in KEYS]
    assert all(schema["properties"][key.name]["description"] == key.help for key in KEYS)
    SCHEMAS["config-file"].model_validate({"max_resident": "20GiB", "headroom": 0.1})
    with pytest.raises(ValidationError):
        SCHEMAS["config-file"].model_validate({"headrom": 0.1})


def test_a_ledger_that_budget_writes_is_what_its_schema_says():
    resident = Resident(name="chat", usage={"CUDA0": 3 << 30}, pid=7, model="a.gguf", n_ctx=4096)
    data = ledger.to_object(ledger.Ledger(residents=(resident,)))
    assert SCHEMAS["ledger"].model_validate(data).model_dump(by_alias=True) == data


def test_every_schema_has_its_name_as_title_and_says_what_it_is():
    for name in SCHEMAS:
        schema = json_schema(name)
        assert schema["title"] == f"budget/{name}/v1"
        assert schema["description"]


def test_every_key_of_a_gate_is_described_and_expect_may_be_a_table():
    definitions = {"": json_schema("gate-file"), **json_schema("gate-file")["$defs"]}
    silent = [
        (name, key)
        for name, definition in definitions.items()
        for key, field in definition.get("properties", {}).items()
        if not field.get("description")
    ]
    assert not silent
    text = '[[gate]]\nmodel = "a"\nmachine = "here"\nexpect = {max_ctx = ">= 32768", fits = true}'
    SCHEMAS["gate-file"].model_validate(tomllib.loads(text))
