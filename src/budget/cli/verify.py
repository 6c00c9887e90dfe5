"""`budget verify`: the plan against a real llama.cpp."""

from __future__ import annotations

from typing import Annotated

from budget.cli.output import Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.errors import ExitCode, MachineError


@question(models="one")
def command(
    asked: Question,
    out: Output,
    log: Annotated[
        str | None,
        Option("--log", metavar="FILE", show_default=False,
                     help="What llama-server or llama-cli printed while it loaded this model with these settings."),
    ] = None,
    llama_cpp: Annotated[
        str | None,
        Option("--llama-cpp", metavar="DIR", show_default=False,
                     help="Where llama-fit-params is; the PATH is searched otherwise."),
    ] = None,
    tolerance: Annotated[
        str,
        Option("--tolerance", metavar="SIZE", help="Largest difference that agrees: a size, or 2%."),
    ] = "0",
) -> int:  # fmt: skip
    """Hold the plan against what llama.cpp itself says, buffer by buffer. Exit 3 on a difference."""
    from budget.planning.fit import plan
    from budget.planning.verify import fit_print_request, parse_tolerance, read_fit_print, read_log, verify
    from budget.source.llama_cpp import find_fit_program, fit_print, read_log_file

    allowed = parse_tolerance(tolerance)
    loaded = asked.load(asked.specs()[0])
    request = asked.request(loaded.model)
    if log is not None:
        answer = verify(plan(request), read_log(read_log_file(log)), allowed)
    else:
        from budget.runtime.rendering import to_command_line

        program = find_fit_program(llama_cpp)
        if program is None:
            raise MachineError(
                "no llama-fit-params here",
                hint="give its folder with --llama-cpp, or a server's log with --log",
            )
        arguments = to_command_line(asked.settings, model=loaded.source.location)[1:]
        readings = read_fit_print(fit_print(program, arguments))
        answer = verify(plan(fit_print_request(request)), readings, allowed)
    from budget.render.verify import verify_object, verify_screen

    out.show(
        data=lambda: verify_object(answer),
        screen=lambda: verify_screen(answer),
        rows=lambda: verify_object(answer)["rows"],
    )
    return int(ExitCode.OK if answer.agrees else ExitCode.DOES_NOT_FIT)
