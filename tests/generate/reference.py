"""docs/commands.md: every command with every option."""

from __future__ import annotations

from budget.cli.help import OWN
from generate.commands import Command, Option, commands, root
from generate.man import EXIT

HEAD = """\
<!-- Written by `python -m tests.generated` from the parser; do not edit. -->
# Commands

Every command has `--help`, a man page (`man budget-fit`) and completions for bash, zsh, fish and PowerShell
([how to install them](completions.md)). Options of llama.cpp have llama.cpp's own names and llama-server's defaults.
After `--`, a whole `llama-server` or `llama-cli` line works as it stands.
"""


def document() -> str:
    """The whole file: options that every planning command has stand once, at the end."""
    shared = _shared()
    index = "".join(f"| [`{c.name}`](#{c.page}) | {_cell(c.summary)} |\n" for c in root().commands)
    parts = [HEAD, f"| command | answers |\n|---|---|\n{index}"]
    parts += [_section(command, shared) for command in commands() if command.words]
    parts.append("## Options that commands share\n")
    for group, options in shared.items():
        parts.append(f"### {group}\n\n{_table(options)}")
    exits = "".join(f"| {int(code)} | {_cell(text)} |\n" for code, text in EXIT.items())
    parts.append(f"## Exit codes\n\n| code | means |\n|---|---|\n{exits}")
    return "\n".join(parts)


def _shared() -> dict[str, list[Option]]:
    most = max(commands(), key=lambda c: len(c.options))
    return {group: options for group, options in most.grouped().items() if group != OWN}


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
    everywhere: list[str] = []
    some: list[str] = []
    for group, options in command.grouped().items():
        known = {o.name: o for o in shared.get(group, ())}
        own = [o for o in options if o != known.get(o.name)]
        if own:
            parts.append((f"**{group}**\n\n" if group != OWN else "") + _table(own))
        if len(own) < len(options):
            whole = all(o in options for o in known.values())
            (everywhere if whole else some).append(
                _of_group(group, [] if whole else [o for o in options if o not in own])
            )
    if everywhere or some:
        every = f"every option of {', '.join(everywhere)}" if everywhere else ""
        parts.append(f"Also {'; '.join([*some, *([every] if every else [])])}.\n")
    return "\n".join(parts)


def _of_group(group: str, options: list[Option]) -> str:
    """A link to the group, with the options of it that are meant where not all are."""
    link = f"[{group}](#{group.lower().replace(' ', '-').replace('.', '').replace(':', '')})"
    return f"{', '.join(f'`{o.spellings[-1]}`' for o in options)} of {link}" if options else link


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
