"""completions/budget.ps1."""

from __future__ import annotations

from collections.abc import Iterable

from generate.commands import commands
from generate.values import ADDRESSES, architectures, gpus, machines, samples

HEAD = """\
# PowerShell completion for budget. Written by `python -m tests.generated` from the parser; do not edit.
# To use it: . ./budget.ps1 in $PROFILE.
"""
BODY = """
Register-ArgumentCompleter -Native -CommandName budget -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $path = ''
    $option = ''
    $after = $false
    $values = { param($name)
        if ($budgetValues.ContainsKey("$path $name")) { $budgetValues["$path $name"] } else { $budgetValues[$name] }
    }
    $elements = $commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition }
    foreach ($element in $elements) {
        $word = $element.Extent.Text
        if ($word -ceq '--') { $after = $true; break }
        if ($option) { $option = ''; continue }
        if ($word.StartsWith('-')) {
            if ($budgetOptions[$path] -ccontains $word -and (& $values $word).Count) { $option = $word }
        } elseif ($budgetOptions.ContainsKey("$path $word".Trim())) {
            $path = "$path $word".Trim()
        }
    }
    $found = @()
    if (-not $after) {
        if ($option) {
            $found = @(& $values $option)
        } elseif ($wordToComplete.StartsWith('-')) {
            $found = @($budgetOptions[$path])
        } else {
            $found = @($budgetArguments[$path])
        }
    }
    $found = @($found | ForEach-Object { if ($budgetNames.ContainsKey("$_")) { $budgetNames["$_"] } else { $_ } })
    # no answer: PowerShell offers file names
    $found | Where-Object { $_ -and $_.StartsWith($wordToComplete, [StringComparison]::Ordinal) } | ForEach-Object {
        $tip = @($budgetHelp["$path $_"], $budgetHelp[$_], $_ | Where-Object { $_ })[0]
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $tip)
    }
}
"""
NAMES = {"model": "<model>", "gpu": "<gpu>", "machine": "<machine>", "arch": "<arch>"}


def script() -> str:
    """The whole file. Hash tables tell spellings apart by case, since -C and -c may both exist."""
    names = {
        "<model>": (*samples(), *ADDRESSES),
        "<gpu>": gpus(),
        "<machine>": machines(),
        "<arch>": architectures(),
    }
    options, values, arguments, texts = {}, {}, {}, {}
    for command in commands():
        path = " ".join(command.words)
        options[path] = tuple(s for o in command.options for s in o.every_spelling)
        for option in command.options:
            for spelling in option.every_spelling:
                _note(texts, path, spelling, (" ".join(option.help.split()) or spelling,))
                value = () if option.metavar is None else option.choices or _named(option.values) or ("",)
                _note(values, path, spelling, value)
        below = tuple(c.words[-1] for c in command.commands)
        texts |= {f"{path} {c.words[-1]}": (c.summary,) for c in command.commands}
        first = command.arguments[0] if command.arguments else None
        arguments[path] = below or (first.choices or _named(first.values) if first else ())
    return "\n".join(
        [
            HEAD,
            _table("budgetNames", names),
            _table("budgetOptions", options),
            _table("budgetValues", values),
            _table("budgetArguments", arguments),
            _table("budgetHelp", texts, single=True),
            BODY.lstrip("\n"),
        ]
    )


def _note(table: dict[str, tuple[str, ...]], path: str, spelling: str, value: tuple[str, ...]) -> None:
    """What most commands say stands once, what one says otherwise beside its path."""
    if table.setdefault(spelling, value) != value:
        table[f"{path} {spelling}"] = value


def _named(kind: str) -> tuple[str, ...]:
    return (NAMES[kind],) if kind in NAMES else ()


def _table(name: str, rows: dict[str, tuple[str, ...]], *, single: bool = False) -> str:
    lines = [f"${name} = [hashtable]::new([StringComparer]::Ordinal)"]
    for key, words in rows.items():
        value = _quoted(words[0]) if single else f"@({_list(words)})"
        lines.append(f"${name}[{_quoted(key)}] = {value}")
    return "\n".join(lines) + "\n"


def _list(words: Iterable[str]) -> str:
    return ", ".join(_quoted(word) for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
