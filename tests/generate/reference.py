"""docs/commands.md: every command with every option."""

from __future__ import annotations

from generate.commands import Command, Option, commands, root
from generate.man import EXIT

HEAD = """\
<!-- Written by `python -m tests.generated` from the parser; do not edit. -->
# Commands

Every command has `--help`, a man page (`man budget-fit`) and completions for bash, zsh, fish and PowerShell
([how to install them](completions.md)). Options of llama.cpp have llama.cpp's own names and llama-server's defaults.
After `--`, a whole `llama-server` or `llama-cli` line works as it stands.
"""
GROUPS = {
    "options": "",
    "model": "The model",
    "machine": "The machine",
    "budget": "The budget",
    "llama.cpp": "llama.cpp",
    "llama.cpp: server": "llama-server",
    "llama.cpp: speculation": "llama.cpp: speculation",
}


def document() -> str:
    """The whole file: options that every planning command has stand once, at the end."""
    shared = _shared()
    index = "".join(f"| [`{c.name}`](#{c.page}) | {_cell(c.summary)} |\n" for c in root().commands)
    parts = [HEAD, f"| command | answers |\n|---|---|\n{index}"]
    parts += [_section(command, shared) for command in commands() if command.words]
    parts.append("## Options of every planning command\n")
    for group, options in shared.items():
        parts.append(f"### {GROUPS.get(group, group)}\n\n{_table(options)}")
    exits = "".join(f"| {int(code)} | {_cell(text)} |\n" for code, text in EXIT.items())
    parts.append(f"## Exit codes\n\n| code | means |\n|---|---|\n{exits}")
    return "\n".join(parts)


def _shared() -> dict[str, list[Option]]:
    most = max(commands(), key=lambda c: len(c.options))
    return {group: options for group, options in most.grouped().items() if GROUPS.get(group)}


def _section(command: Command, shared: dict[str, list[Option]]) -> str:
    level = "##" if len(command.words) == 1 else "###"
    arguments = "".join(
        f" {a.metavar if a.required else f'[{a.metavar}]'}{'...' if a.repeatable else ''}"
        for a in command.arguments
    )
    what = " COMMAND" if command.commands else arguments
    parts = [
        f'{level} <a name="{command.page}"></a>{command.name}\n',
        f"```text\n{command.name} [OPTIONS]{what}\n```\n",
    ]
    parts.append(" ".join(command.help.split()) + "\n")
    rows = "".join(f"| `{a.metavar}` | {_cell(a.help)}{_choices(a)} |\n" for a in command.arguments)
    if rows:
        parts.append(f"| argument | is |\n|---|---|\n{rows}")
    everywhere = []
    for group, options in command.grouped().items():
        known = {o.name: o for o in shared.get(group, ())}
        own = [o for o in options if o != known.get(o.name)]
        if own:
            title = GROUPS.get(group, group)
            parts.append((f"**{title}**\n\n" if title else "") + _table(own))
        if len(own) < len(options):
            missing = [o for name, o in known.items() if o not in options]
            everywhere.append(_of_group(group, options, own, missing))
    if everywhere:
        parts.append("Also: " + "; ".join(everywhere) + ".\n")
    return "\n".join(parts)


def _of_group(group: str, options: list[Option], own: list[Option], missing: list[Option]) -> str:
    link = f"[{GROUPS[group]}](#{GROUPS[group].lower().replace(' ', '-').replace('.', '').replace(':', '')})"
    if missing:
        names = ", ".join(f"`{o.spellings[0]}`" for o in options if o not in own)
        return f"{names} of {link}"
    return f"every option of {link}"


def _choices(option: object) -> str:
    choices = getattr(option, "choices", ())
    return f" One of: {', '.join(f'`{c}`' for c in choices)}." if choices else ""


def _table(options: list[Option]) -> str:
    rows = []
    for option in options:
        spellings = ", ".join(f"`{s}`" for s in option.every_spelling)
        value = f" `{option.metavar}`".replace("|", "\\|") if option.metavar else ""
        text = _cell(option.help)
        if option.choices and option.metavar != "|".join(option.choices):
            text += _choices(option)
        if option.default is not None and f"({option.default})" not in text:
            text += f" Default: `{option.default}`."
        if option.repeatable:
            text += " May be repeated."
        rows.append(f"| {spellings}{value} | {text} |\n")
    return f"| option | does |\n|---|---|\n{''.join(rows)}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
