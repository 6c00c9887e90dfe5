"""docs/python-reference.md: every public name with its signature and docstring."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import budget

HEAD = """\
<!-- Written by `python -m tests.generated` from docstrings; do not edit. -->
# Python reference

Everything that `import budget` offers; [the Python interface](python-api.md) shows how it goes together. Sizes are
integers of bytes, contexts are tokens, unknown is `None`.

"""


def document() -> str:
    """The whole file."""
    names = [n for n in sorted(budget.__all__, key=str.lower) if not n.startswith("_")]
    objects = {name: getattr(budget, name) for name in names}
    functions = {n: o for n, o in objects.items() if inspect.isroutine(o)}
    classes = {n: o for n, o in objects.items() if inspect.isclass(o)}
    others = {n: o for n, o in objects.items() if n not in functions and n not in classes}
    parts = [HEAD, "## Functions\n\n", *(_function(n, o) for n, o in functions.items())]
    parts += ["## Classes\n\n", *(_class(n, o) for n, o in classes.items())]
    if others:
        parts += ["## Values\n\n", *(f"- `{n}`: `{o!r}`\n" for n, o in others.items())]
    return "".join(parts)


def _function(name: str, function: Any) -> str:
    signature = str(inspect.signature(function)).replace("'", "")
    text = f"{name}{signature}"
    if len(text) > 100:
        text = re.sub(r", (?=\*|\w+:)", ",\n    ", text.replace("(", "(\n    ", 1)).replace(") ->", "\n) ->")
    return f"### {name}\n\n```python\n{text}\n```\n\n{_doc(function)}\n"


def _class(name: str, cls: Any) -> str:
    parts = [f"### {name}\n\n{_doc(cls)}\n"]
    if is_dataclass(cls):
        said = _field_texts(cls)
        parts.append("| field | type | is |\n|---|---|---|\n")
        for field in fields(cls):
            kind = str(field.type).replace("|", "\\|")
            parts.append(f"| `{field.name}` | `{kind}` | {said.get(field.name, '')} |\n")
        parts.append("\n")
    elif issubclass(cls, Enum):
        parts += [f"- `{member.name}` = {member.value}\n" for member in cls]
        parts.append("\n")
    methods = [
        (n, m)
        for n, m in vars(cls).items()
        if not n.startswith("_") and (inspect.isfunction(m) or isinstance(m, property))
    ]
    for method_name, method in methods:
        inner = method.fget if isinstance(method, property) else method
        doc = " ".join((inspect.getdoc(inner) or "").split("\n\n")[0].split())
        call = "" if isinstance(method, property) else "()"
        parts.append(f"- `.{method_name}{call}`: {doc}\n" if doc else "")
    return "".join([*parts, "\n" if methods else ""])


def _field_texts(cls: Any) -> dict[str, str]:
    """The string under each field."""
    found = re.findall(
        r'^    (\w+): [^\n]*\n    """(.*?)"""', inspect.getsource(cls), re.MULTILINE | re.DOTALL
    )
    return {name: " ".join(text.split()).replace("|", "\\|") for name, text in found}


def _doc(thing: Any) -> str:
    text = inspect.getdoc(thing) or ""
    if is_dataclass(thing) and text.startswith(f"{thing.__name__}("):
        return ""
    text = re.sub(r"^(Args|Raises|Source|Returns):", r"**\1:**", text, flags=re.MULTILINE)
    return re.sub(r"^    (?=\S)", "- ", text, flags=re.MULTILINE) + "\n"
