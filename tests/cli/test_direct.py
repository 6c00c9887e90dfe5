"""A plain line read without Typer means what Typer makes of it; anything else is left to Typer."""

from __future__ import annotations

import shlex
from importlib import import_module

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budget.cli.app import run_with_typer
from budget.cli.commands import COMMANDS
from budget.cli.direct import parse
from budget.cli.parameters import Argument, Option, own_parameters, shared

LINES = [
    "max-ctx m.gguf",
    "max-ctx m.gguf --json -q --per-slot",
    "max-ctx --gpu 24GiB m.gguf '--gpu=2x rtx-4090' --ram 64GiB",
    "max-ctx m.gguf -c 8k -ngl 20 -ctk q8_0 --cache-ram -1 -fa=on",
    "max-ctx m.gguf --no-kv-offload -kvo --no-host -nr",
    "max-ctx m.gguf -ot a=CPU -ot b=CUDA0 --rpc x:1 --rpc y:2",
    "max-ctx m.gguf --tool llama-cli --accounting fit --budget ram=64GiB,vram=24GiB",
    "max-ctx m.gguf -c 1 -c 2",
    "max-ctx --layers 32 --params 8.2B",
    "max-ctx m.gguf --budget=",
    "fit a.gguf b.gguf --format json --buffers",
    "fit",
    "place m.gguf --compute",
    "inspect m.gguf --json",
    "devices --no-gpu -v",
    "request m.gguf --used 100 --completion 7",
    "hardware",
    "scan folder --no-stores",
    "config --json",
]
NOT_PLAIN = [
    "max-ctx --help",
    "max-ctx m.gguf --frobnicate",
    "max-ctx m.gguf other.gguf",
    "max-ctx m.gguf --gpu",
    "max-ctx m.gguf --json=yes",
    "max-ctx m.gguf -c8k",
    "max-ctx m.gguf -qv",
    "max-ctx m.gguf --tool ollama",
    "max-ctx m.gguf --layers many",
    "max-ctx m.gguf --layers -1",
    "max-ctx -",
    "fit m.gguf --format yaml",
    "request m.gguf",
]


def module_of(name):
    return import_module(f"budget.cli.{name.replace('-', '_')}")


def read_by_typer(monkeypatch, words):
    """What the command receives from Typer."""
    received = []

    def recorder(line, **given):
        received.append(given)
        return 0

    recorder.parameters = module_of(words[0]).command.parameters
    monkeypatch.setattr(module_of(words[0]), "command", recorder)
    run_with_typer(words, [])
    return received[0]


@pytest.mark.parametrize("line", LINES)
def test_a_plain_line_means_what_typer_makes_of_it(line, monkeypatch):
    words = shlex.split(line)
    read = parse(module_of(words[0]).command.parameters, words[1:])

    assert read is not None
    assert read == read_by_typer(monkeypatch, words)


@pytest.mark.parametrize("line", NOT_PLAIN)
def test_a_line_that_is_not_plain_is_left_to_typer(line):
    words = shlex.split(line)

    assert parse(module_of(words[0]).command.parameters, words[1:]) is None


WORDS = st.sampled_from(
    "m.gguf --json -q --gpu 24GiB --gpu=8GiB -c 8k -ngl 99 -fa on --mlock --no-mmap -kvo -nkvo --tool llama-cli "
    "--layers 3 --ram= = --rpc a:1 - -1 -qv --x --no-gpu --accounting fit real -c=1 -ngl=2 --json=1".split(
        " "
    )
)


@settings(max_examples=60, deadline=None)
@given(words=st.lists(WORDS, max_size=6))
def test_whatever_is_read_directly_typer_reads_the_same(words):
    with pytest.MonkeyPatch.context() as monkeypatch:
        read = parse(module_of("max-ctx").command.parameters, words)
        if read is not None:
            assert read == read_by_typer(monkeypatch, ["max-ctx", *words])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_parameter_of_a_direct_command_is_declared_as_plain_data(name):
    declared = [p.declared for p in module_of(name).command.parameters]

    assert declared
    assert all(isinstance(d, Option | Argument) for d in declared)


def test_own_parameters_keep_their_defaults_and_say_which_must_be_given():
    namespace = {"Option": Option}
    exec(
        "from __future__ import annotations\n"
        "from typing import Annotated\n"
        "def f(asked: int, a: Annotated[str, Option('--a')], b: Annotated[int | None, Option('-b')] = None, *,"
        " c: Annotated[bool, Option('--c')] = False): ...",
        namespace,
    )

    assert [(p.name, p.default) for p in own_parameters(namespace["f"])] == [
        ("a", ...),
        ("b", None),
        ("c", False),
    ]


def test_a_declaration_takes_its_default_first_unless_that_is_a_spelling():
    assert (Option("--a", "-a").default, Option("--a", "-a").spellings) == (None, ("--a", "-a"))
    assert shared("a", bool, Option(False, "--a")).default is False
