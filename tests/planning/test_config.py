from __future__ import annotations

import pytest

from budget.errors import UsageError
from budget.planning.config import KEYS, config_object, resolve_config

GiB = 1 << 30


def test_nothing_given_is_every_default():
    config = resolve_config()
    assert {s.origin for s in config.settings.values()} == {"default"}
    assert config.policy.max_resident is None
    assert (config.policy.reserve, config.policy.headroom, config.value("floor")) == (0, 0.0, 4096)


def test_a_flag_beats_the_environment_which_beats_the_file():
    sources = {
        "file": {"max_resident": "4GiB", "reserve": "1GiB", "host_cold": "8GiB", "headroom": 0.2},
        "env": {"BUDGET_MAX_RESIDENT": "2GiB", "BUDGET_HOST_COLD": "6GiB", "BUDGET_RESERVE": " "},
        "flags": {"max_resident": "3GiB", "headroom": None},
    }
    config = resolve_config(**sources, file_name="budget.toml")
    assert [
        (s.name, s.value, s.origin, s.where) for s in config.settings.values() if s.origin != "default"
    ] == [
        ("reserve", GiB, "file", "budget.toml"),
        ("max_resident", 3 * GiB, "flag", "--max-resident"),
        ("headroom", 0.2, "file", "budget.toml"),
        ("host_cold", 6 * GiB, "environment", "BUDGET_HOST_COLD"),
    ]


@pytest.mark.parametrize(
    ("text", "value"), [("auto", "auto"), ("none", None), ("unlimited", None), ("20G", 20 * GiB), ("0", 0)]
)
def test_a_limit_can_be_a_size_automatic_or_none(text, value):
    assert resolve_config(flags={"max_resident": text}).value("max_resident") == value


def test_numbers_of_the_file_are_taken_as_they_are():
    config = resolve_config(file={"max_resident": 5, "headroom": 0.5, "min_hot_context": 4096})
    assert (config.policy.max_resident, config.policy.headroom, config.policy.min_hot_context) == (
        5,
        0.5,
        4096,
    )


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"env": {"BUDGET_HEADROOM": "1.5"}}, "BUDGET_HEADROOM: 1.5"),
        ({"env": {"BUDGET_RESERVE": "lots"}}, "BUDGET_RESERVE: not a size: 'lots'"),
        ({"flags": {"align": "-1"}}, "--align: not a count: '-1'"),
        ({"flags": {"utilization": "2"}}, "--utilization: 2: must be above 0"),
        ({"file": {"headroom": "a lot"}}, "budget.toml: headroom: not a number"),
        ({"file": {"reserve": True}}, "budget.toml: reserve is True"),
        ({"file": {"reserve": [1]}}, r"budget.toml: reserve is \[1\]"),
        ({"file": {"max_resident": -5}}, "budget.toml: max_resident: not a size: '-5'"),
    ],
)
def test_values_that_make_no_sense_say_where_they_stand(source, says):
    with pytest.raises(UsageError, match=says):
        resolve_config(**source)


@pytest.mark.parametrize(("key", "near"), [("max_residnet", "max_resident"), ("head_room", "headroom")])
def test_unknown_keys_are_named_with_the_nearest_known_one(key, near):
    with pytest.raises(UsageError, match=f"budget.toml: unknown key '{key}'") as error:
        resolve_config(file={key: 1})
    assert error.value.hint.startswith(f"did you mean {near}? keys: ")


def test_every_key_has_a_flag_and_a_variable():
    assert all(key.flag == f"--{key.name.replace('_', '-')}" for key in KEYS)
    assert all(key.variable == f"BUDGET_{key.name.upper()}" for key in KEYS)
    rows = config_object(resolve_config(env={"BUDGET_UTILIZATION": "85%"}))["settings"]
    assert next(r for r in rows if r["name"] == "utilization")["value"] == 0.85


def test_a_variable_in_small_letters_is_misspelt():
    with pytest.raises(UsageError, match="BUDGET_reserve: no such variable") as e:
        resolve_config(env={"BUDGET_reserve": "1GiB"})
    assert e.value.hint is not None
    assert e.value.hint.startswith("did you mean BUDGET_RESERVE?")
