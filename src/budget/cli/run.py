"""One command line, from its words to its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from budget.cli.commands import COMMANDS, function_of
from budget.cli.direct import parse
from budget.errors import BudgetError, ExitCode


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    _open_closed_streams()
    own, line = split_line(argv)
    try:
        result = _run_directly(own, line)
        if result is None:
            from budget.cli.app import run_with_typer
            from budget.cli.mistakes import refuse_joined

            refuse_joined(own)
            result = run_with_typer(own, line)
        sys.stdout.flush()
        return int(result or 0)
    except BudgetError as e:
        return fail(e.message, e.hint, e.exit_code)
    except BrokenPipeError:
        _abandon_stdout()
        return int(ExitCode.FAILED)
    except OSError as e:  # files that budget reads are named by the errors of who reads them
        _abandon_stdout()
        return fail(f"the answer cannot be written: {e.strerror or e}", None, ExitCode.FAILED)
    except KeyboardInterrupt:
        return fail("interrupted", None, ExitCode.FAILED)
    except Exception as e:
        return _from_parser(e, own)


def _open_closed_streams() -> None:
    """A caller that closed stdout or stderr (`>&-`) still gets the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 (until the process ends)


def _abandon_stdout() -> None:
    """What is left in the buffer goes nowhere, so that the interpreter does not complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_directly(own: list[str], line: list[str]) -> int | None:
    """Its exit code; None where Typer has to read the line."""
    if not own or own[0] not in COMMANDS:
        return None
    command = function_of(own[0])
    values = parse(command.parameters, own[1:])
    return None if values is None else int(command(line, **values))


def split_line(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Budget's own arguments, and a llama.cpp command line after `--`."""
    arguments = _as_options(list(argv))
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return _join_for(arguments[:at]), arguments[at + 1 :]


def _as_options(arguments: list[str]) -> list[str]:
    """`budget help fit` and `budget version`, as other programs have them, are options here."""
    if arguments[:1] == ["help"]:
        return [*arguments[1:2], "--help"]
    return ["--version"] if arguments == ["version"] else arguments


def _join_for(arguments: list[str]) -> list[str]:
    """`--for MODEL FLAGS` as the one value MODEL=FLAGS: an option of the parser takes one value when it repeats."""
    joined: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        joined.append(argument)
        if argument == "--for":
            model = next(rest, None)
            if model is not None:
                is_whole = "=-" in model.replace(" ", "")
                joined.append(model if is_whole else f"{model}={next(rest, '')}")
    return joined


def _from_parser(e: Exception, own: Sequence[str]) -> int:
    """Typer's own exceptions on a line of budget's `own` words; anything else is a bug and stays one."""
    format_message = getattr(e, "format_message", None)
    exit_code = getattr(e, "exit_code", None)
    if format_message is None:
        if exit_code is not None:
            return int(exit_code)
        if type(e).__name__ == "Abort":
            return fail("interrupted", None, ExitCode.FAILED)
        raise e
    if type(e).__name__ == "NoArgsIsHelpError":
        print(format_message())  # noqa: T201
        return int(ExitCode.USAGE)
    from budget.cli.mistakes import explained

    return fail(*explained(e, own), ExitCode.USAGE)


def fail(message: str, hint: str | None, code: ExitCode) -> int:
    """Say on stderr what is wrong and what to do."""
    from budget.render.lines import printable

    sys.stderr.write(f"budget: error: {printable(message)}\n")
    if hint:
        sys.stderr.write(f"  {printable(hint)}\n")
    return int(code)
