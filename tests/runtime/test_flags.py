"""The flag table: complete, unambiguous, and wired to handlers and options."""

import pytest

from budget.runtime import presets
from budget.runtime.flags import by_spelling, flags, flags_of
from budget.runtime.handlers import HANDLERS
from budget.runtime.options import NO_OPTION, SETTINGS_OPTIONS, arguments

N_OLDER = 3
"""Flags of earlier llama.cpp versions: --mmap, --mlock, --direct-io."""


@pytest.mark.parametrize(("tool", "n_flags"), [("llama-server", 255), ("llama-cli", 205)])
def test_each_tool_has_as_many_flags_as_arg_cpp_gives_it(tool, n_flags):
    assert len(flags_of(tool)) == n_flags + N_OLDER


def test_arg_cpp_knows_149_environment_variables():
    assert len({flag.env for flag in flags() if flag.env}) == 149


@pytest.mark.parametrize("tool", ["llama-server", "llama-cli"])
def test_no_spelling_stands_for_two_flags(tool):
    spellings = [s for flag in flags_of(tool) for s in (*flag.spellings, *flag.negated)]
    assert len(spellings) == len(set(spellings)) == len(by_spelling(tool))


def test_every_setting_of_the_table_has_a_handler_and_every_handler_a_flag():
    assert {flag.setting for flag in flags() if flag.setting} == set(HANDLERS)


def test_only_switches_have_negated_spellings():
    assert all(flag.kind == "b" for flag in flags() if flag.negated)


def test_options_cover_every_memory_changing_flag_but_models_and_history():
    assert {option.name for option in SETTINGS_OPTIONS} == set(HANDLERS) - NO_OPTION


def test_switches_have_no_metavar_and_all_others_do():
    kinds = {flag.setting: flag.kind for flag in flags()}
    assert [o.name for o in SETTINGS_OPTIONS if (o.metavar is None) != (kinds[o.name] in "vb")] == []


def test_every_option_has_a_name_of_its_own_and_a_sentence():
    assert len({option.name for option in SETTINGS_OPTIONS}) == len(SETTINGS_OPTIONS)
    assert [o.name for o in SETTINGS_OPTIONS if not o.help.endswith(".") or not o.name.isidentifier()] == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        pytest.param("n_ctx", "32k", ["-c", "32k"], id="value"),
        pytest.param("n_ctx", None, [], id="not-given"),
        pytest.param("kv_unified", True, ["-kvu"], id="switch-on"),
        pytest.param("kv_unified", False, ["-no-kvu"], id="switch-off"),
        pytest.param("swa_full", False, [], id="nothing-turns-it-off"),
        pytest.param("override_tensor", ["a=CPU", "b=CPU"], ["-ot", "a=CPU", "-ot", "b=CPU"], id="repeated"),
        pytest.param("lora", [], [], id="no-repetition"),
    ],
)
def test_an_option_becomes_flags_again(name, value, expected):
    option = next(option for option in SETTINGS_OPTIONS if option.name == name)
    assert arguments(option, value) == expected


def test_every_preset_of_the_table_is_known_and_no_other():
    assert {flag.spellings[0] for flag in flags() if flag.setting == "preset"} == set(presets.PRESETS)


def test_every_removed_flag_names_its_successor():
    removed = [flag for flag in flags() if flag.setting == "removed"]
    names = {s for flag in removed for s in flag.spellings} | {flag.env for flag in removed if flag.env}
    assert names == set(presets.REPLACED)
