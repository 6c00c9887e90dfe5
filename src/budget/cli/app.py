"""The command table as a Typer application: help, mistakes, and every line that is not plain."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command_from_info
from typer.models import CommandInfo

from budget import __version__
from budget.cli.commands import COMMANDS, GROUPS, function_of
from budget.cli.typer_parameters import callback
from budget.errors import BudgetError


class _LazyGroup(TyperGroup):
    """Commands in the order of their table, each built from its own module when it is needed."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        from budget.cli.help import GroupedCommand, examples

        function = function_of(cmd_name)
        info = CommandInfo(
            name=cmd_name,
            cls=GroupedCommand,
            callback=callback(function),
            help=function.__doc__,
            short_help=COMMANDS[cmd_name],
            epilog=examples(cmd_name),
            context_settings={"help_option_names": ["-h", "--help"]},
        )
        return get_command_from_info(info, pretty_exceptions_short=True, rich_markup_mode=None)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table as it stands, without importing a single command."""
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Examples as they are, then the exit codes."""
        from budget.cli.help import examples

        formatter.write(f"\n{examples('')}\n")
        super().format_epilog(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name what was meant when a command does not exist."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise _unknown_command(args[0])
        return super().resolve_command(ctx, args)


def _unknown_command(name: str) -> BudgetError:
    from budget.errors import UsageError
    from budget.nearest import did_you_mean, nearest

    all_of_them = f"commands: {', '.join(COMMANDS)}"
    if name.startswith("llama-"):
        near = [f"budget fit -- {name} ..."]
    elif set(name) & set("./:"):  # a model
        near = [f"budget fit {name}"]
    else:
        near = nearest(name, COMMANDS)
    return UsageError(f"no such command: {name}", hint=did_you_mean(near, all_of_them))


def _version(value: bool) -> None:
    if value:
        from budget.model.architectures import VALIDATED_COMMIT

        typer.echo(f"budget {__version__} (validated against llama.cpp {VALIDATED_COMMIT})")
        raise typer.Exit


app = typer.Typer(
    cls=_LazyGroup,
    name="budget",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 fits, 2 usage, 3 does not fit, 4 bad model file, 5 no device, 6 network, 7 unknown.",
)


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Does this GGUF model fit, where does each byte go, how long a context can it serve.

    Headers only: nothing is loaded. The numbers are those of llama.cpp's own allocator.
    """


def run_with_typer(own: list[str], line: list[str]) -> Any:
    """Run budget's `own` words; the exit code, if the command has one."""
    return typer.main.get_command(app)(args=own, prog_name="budget", standalone_mode=False, obj=line)
