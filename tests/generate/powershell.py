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
    $left = 0
    $after = $false
    $valuesOf = { param($name)
        if ($budgetValues.ContainsKey("$path $name")) { $budgetValues["$path $name"] } else { $budgetValues[$name] }
    }
    # words before the one that is completed; that one is empty after a space, and then no element of its own
    $elements = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition })
    foreach ($element in $elements) {
        $word = $element.Extent.Text
        if ($word -ceq '--') { $after = $true; break }
        if ($left -gt 0) { $left--; continue }
        if ($word.StartsWith('-')) {
            if ($budgetOptions[$path] -ccontains $word -and @(& $valuesOf $word).Count -gt 0) {
                $option = $word
                $left = if ($budgetCounts.ContainsKey($word)) { $budgetCounts[$word] } else { 1 }
            }
        } elseif ($budgetOptions.ContainsKey("$path $word".Trim())) {
            $path = "$path $word".Trim()
        }
    }
    # what is typed of the word, without the quote that it may start with; of --option=value, the value
    $typed = "$wordToComplete".TrimStart("'", '"')
    $lead = ''
    if ($left -gt 0) {
        $found = @(& $valuesOf $option)
    } elseif ($typed -cmatch '^(--[^=]+)=(.*)$') {
        $option = $Matches[1]
        $lead = "$option="
        $typed = $Matches[2]
        $found = if ($budgetOptions[$path] -ccontains $option) { @(& $valuesOf $option) } else { @() }
    } elseif ($typed.StartsWith('-')) {
        $found = @($budgetOptions[$path])
    } else {
        $found = @($budgetArguments[$path])
    }
    if ($after) { $found = @() }
    $ending = @($found | Where-Object { $_ -and $budgetEndings.ContainsKey($_) } |
        ForEach-Object { $budgetEndings[$_] })
    $found = @($found | ForEach-Object { if ($budgetNames.ContainsKey("$_")) { $budgetNames["$_"] } else { $_ } })
    $found | Where-Object { $_ -and $_.StartsWith($typed, [StringComparison]::Ordinal) } | ForEach-Object {
        $tip = @(@($budgetHelp["$path $_"], $budgetHelp[$_], $_) | Where-Object { $_ })[0]
        $text = "$lead$_"
        if ($text -match '[^\\w.:/=+-]') { $text = "'" + $text.Replace("'", "''") + "'" }
        [System.Management.Automation.CompletionResult]::new($text, $_, 'ParameterValue', $tip)
    }
    # PowerShell offers file names by itself where there is no answer; these go with the names above, or after =
    if (-not $after -and ($ending.Count -gt 0 -or $lead)) {
        [System.Management.Automation.CompletionCompleters]::CompleteFilename($typed) | Where-Object {
            $ending.Count -eq 0 -or $_.ResultType -eq 'ProviderContainer' -or $_.ListItemText.EndsWith($ending[0])
        } | ForEach-Object {
            [System.Management.Automation.CompletionResult]::new(
                "$lead$($_.CompletionText)", $_.ListItemText, $_.ResultType, $_.ToolTip)
        }
    }
}
"""
ENDINGS = {"<model>": ".gguf", "<machine>": ".json", "<gate>": ".toml"}
"""Files that go with names."""
NAMES = {"model": "<model>", "gpu": "<gpu>", "machine": "<machine>", "arch": "<arch>", "gate": "<gate>"}


def script() -> str:
    """The whole file. Hash tables tell spellings apart by case, since -C and -c may both exist."""
    names = {
        "<model>": (*samples(), *ADDRESSES),
        "<gpu>": gpus(),
        "<machine>": machines(),
        "<arch>": architectures(),
        "<gate>": (),
    }
    options, values, arguments, texts, counts = {}, {}, {}, {}, {}
    for command in commands():
        path = " ".join(command.words)
        options[path] = tuple(s for o in command.options for s in o.every_spelling)
        for option in command.options:
            for spelling in option.every_spelling:
                _note(texts, path, spelling, (" ".join(option.help.split()) or spelling,))
                value = () if option.metavar is None else option.offered or _named(option.values) or ("",)
                _note(values, path, spelling, value)
                if option.n_values > 1:
                    counts[spelling] = option.n_values
        below = tuple(c.words[-1] for c in command.commands)
        texts |= {f"{path} {c.words[-1]}": (c.summary,) for c in command.commands}
        first = command.arguments[0] if command.arguments else None
        arguments[path] = below or (first.choices or _named(first.values) if first else ())
    return "\n".join(
        [
            HEAD,
            _table("budgetNames", names),
            _table("budgetEndings", {name: (ending,) for name, ending in ENDINGS.items()}, single=True),
            _numbers("budgetCounts", counts),
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


def _numbers(name: str, rows: dict[str, int]) -> str:
    lines = [f"${name} = [hashtable]::new([StringComparer]::Ordinal)"]
    return "\n".join([*lines, *(f"${name}[{_quoted(key)}] = {n}" for key, n in rows.items())]) + "\n"


def _list(words: Iterable[str]) -> str:
    return ", ".join(_quoted(word) for word in words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
