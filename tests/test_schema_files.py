"""The schemas of input files against what reads these files."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from typing import get_args, get_type_hints

import pytest
from pydantic import ValidationError

from budget.machine import catalog
from budget.machine import file as machine_file
from budget.machine.device import DeviceKind
from budget.memory import extra, host
from budget.memory.layout import Basis
from budget.memory.placement import TensorClass
from budget.model.facts import MemoryKind
from budget.planning import advise, budget, capacity, ceiling, compare, config, gate, ledger, sweep, verify
from budget.planning.config import KEYS
from budget.planning.fit import Verdict
from budget.planning.request import FinishReason
from budget.planning.residents import Resident
from budget.runtime.settings import CACHE_TYPES, LoadMode, SplitMode
from budget.schema import SCHEMAS, base, json_schema
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


def objects(schema):
    """Every object of a schema by name; the schema's own is "" here."""
    return {"": schema, **schema.get("$defs", {})}


def fields(name):
    """Object, key and description of every field of a schema, nested ones included."""
    for found, definition in objects(json_schema(name)).items():
        for key, field in definition.get("properties", {}).items():
            yield found, key, field.get("description", "")


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_object_and_every_field_of_a_schema_is_described(name):
    assert not [found for found, o in objects(json_schema(name)).items() if not o.get("description")]
    silent = [f"{found}.{key}" for found, key, text in fields(name) if not says(key, text)]
    assert not silent


FILLING = {"a", "an", "as", "by", "in", "is", "it", "its", "of", "or", "the", "their", "this", "to"}


def says(key, text):
    """The words of a description that its field's name does not say already."""
    return set(re.findall(r"[a-z0-9]+", text.lower())) - set(key.rstrip("_").lower().split("_")) - FILLING


def test_a_description_that_only_says_the_name_again_is_none():
    assert not says("n_ctx_train", "The n ctx train.")
    assert not says("name", "The name.")
    assert says("name", "As llama.cpp prints it, such as `CUDA0`.")


def test_no_text_stands_beside_a_field_where_the_schema_would_lose_it():
    """A type that brings its own description hides the text under the field."""
    for model in models():
        for key, field in model.model_fields.items():
            source = texts_of(model).get(key)
            assert source is None or " ".join(source.split()) == " ".join(
                (field.description or "").split()
            ), key


def models():
    """Every class of every schema."""
    waiting, seen = [base.Object], set()
    while waiting:
        for model in waiting.pop().__subclasses__():
            if model.__module__.startswith("budget.schema") and model not in seen:
                seen.add(model)
                waiting.append(model)
    return seen


def texts_of(model):
    """The strings under the fields of a class, as they are written."""
    import ast
    import inspect
    import textwrap

    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body
    return {
        field.target.id: text.value.value
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_sentence_of_the_list_is_one_line_of_what_the_schema_is(name):
    from budget.schema import schemas_object

    rows = {row["name"]: row["description"] for row in schemas_object()["schemas"]}
    assert len(rows[name].split()) > 4
    assert ". " not in rows[name]


ENUMS = {
    ("fit", "DeviceBasis", "weights"): get_args(Basis),
    ("fit", "", "verdict"): get_args(Verdict),
    ("fit", "DeviceRow", "kind"): get_args(DeviceKind),
    ("fit", "BudgetFacts", "mode"): get_args(budget.Mode),
    ("fit", "ResolvedSettings", "split_mode"): get_args(SplitMode),
    ("fit", "ResolvedSettings", "load_mode"): get_args(LoadMode),
    ("fit", "ResolvedSettings", "type_k"): CACHE_TYPES,
    ("fit", "ResolvedSettings", "type_v"): CACHE_TYPES,
    ("fit", "ExtraRow", "part"): get_args(get_type_hints(extra.Extra)["part"]),
    ("fit", "ExtraRow", "kind"): get_args(get_type_hints(extra.Extra)["kind"]),
    ("fit", "HostPart", "kind"): get_args(host.Kind),
    ("max-ctx", "", "bound_by"): get_args(ceiling.Limit),
    ("max-ctx", "WindowFacts", "reason"): get_args(capacity.Reason),
    ("inspect", "", "memory"): get_args(MemoryKind),
    ("place", "PlacedWeight", "class"): get_args(TensorClass),
    ("verify", "VerifyRow", "scope"): get_args(verify.Scope),
    ("verify", "VerifyRow", "kind"): get_args(verify.Kind),
    ("advise", "", "ranked_by"): get_args(get_type_hints(advise.Advice)["ranked_by"]),
    ("sweep", "", "axis"): sweep.NUMERIC,
    ("diff", "PartRow", "part"): compare.PARTS,
    ("check", "CaseRow", "status"): get_args(gate.Status),
    ("request", "", "finish_reason"): get_args(FinishReason),
    ("config", "OptionRow", "origin"): get_args(config.Origin),
    ("machine", "DeviceFacts", "kind"): machine_file.KINDS,
    ("machine", "DeviceFacts", "backend"): machine_file.BACKENDS,
    ("hardware", "HardwareRow", "kind"): {entry.kind for entry in catalog.entries()},
    ("hardware", "HardwareRow", "confidence"): {entry.confidence for entry in catalog.entries()},
}
"""Schema, object and field to the values that the code knows."""


def test_every_fixed_set_of_values_is_the_codes_own():
    from budget.source.gguf_names import Kind

    expected = {**ENUMS, ("scan", "ScanRow", "kind"): get_args(Kind)}
    for (name, found, key), values in expected.items():
        field = objects(json_schema(name))[found]["properties"][key]
        choices = [c["enum"] for c in (field, *field.get("anyOf", ())) if "enum" in c]
        assert choices, (name, found, key)
        assert sorted(choices[0]) == sorted(values), (name, found, key)


def test_expect_of_a_gate_may_be_a_table():
    text = '[[gate]]\nmodel = "a"\nmachine = "here"\nexpect = {max_ctx = ">= 32768", fits = true}'
    SCHEMAS["gate-file"].model_validate(tomllib.loads(text))
