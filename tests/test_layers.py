"""The map of the packages as a test: imports point one way, and the pure packages stay pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "budget"
FILES = sorted(SRC.rglob("*.py"))
BASE = {"errors", "units", "nearest", "record", "__version__"}
MAY_IMPORT = {
    "gguf": BASE,
    "source": BASE | {"gguf"},
    "model": BASE | {"gguf"},
    "runtime": BASE | {"gguf", "model"},
    "machine": BASE,
    "memory": BASE | {"gguf", "model", "runtime", "machine"},
    "planning": BASE | {"gguf", "model", "runtime", "machine", "memory"},
    "store": BASE | {"planning"},
    "schema": BASE | {"planning"},
    "render": BASE | {"gguf", "source", "model", "runtime", "machine", "memory", "planning"},
}
"""Package to what it may import; what is not named here (the command line, the Python interface) may import all."""
PURE = ("gguf", "model", "runtime", "memory", "planning", "render")
"""No files, no clock, no environment, no processes: what they say depends on what they are given alone."""
IMPURE = {
    "os",
    "sys",
    "time",
    "datetime",
    "random",
    "socket",
    "subprocess",
    "tempfile",
    "shutil",
    "logging",
    "urllib",
}
ONLY_IN = {
    "typer": {"cli/app.py", "cli/help.py", "cli/typer_parameters.py"},
    "rich": {"render/terminal.py", "render/lines.py", "source/progress.py"},
    "pydantic": {"schema"},
    "psutil": {"machine/probe", "store/ledger.py"},
    "httpx": {"source"},
    "matplotlib": {"render/figure.py"},
}
"""A library to the files and folders that may use it."""


def imports(path):
    """Every module that a file imports, with the name that is taken from it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def place(path):
    return path.relative_to(SRC).as_posix()


def unit(path):
    return place(path).partition("/")[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=place)
def test_imports_point_one_way(path):
    first_party = {name.split(".")[1] for name in imports(path) if name.startswith("budget.")} - {unit(path)}
    assert first_party <= MAY_IMPORT.get(unit(path), first_party)


@pytest.mark.parametrize("path", [p for p in FILES if unit(p) in PURE], ids=place)
def test_a_pure_package_asks_nothing_of_the_world(path):
    assert not {name.partition(".")[0] for name in imports(path)} & IMPURE


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_used_in_its_places_alone(library):
    users = {place(p) for p in FILES if library in {name.partition(".")[0] for name in imports(p)}}
    assert users
    assert not {
        user for user in users if not any(user == w or user.startswith(f"{w}/") for w in ONLY_IN[library])
    }


def test_every_package_is_on_the_map():
    assert {path.parent.name for path in SRC.glob("*/__init__.py")} == {*MAY_IMPORT, "cli"}


@pytest.mark.parametrize("path", FILES, ids=place)
def test_input_is_never_checked_with_assert(path):
    assert not [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
