"""`budget inspect`: what the header says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from budget.cli.options import JsonOption, Question, QuietOption, print_text, question
from budget.cli.parameters import Option
from budget.errors import ExitCode

if TYPE_CHECKING:
    from budget.model.facts import Model


@question(models="one")
def command(
    asked: Question,
    json: JsonOption = False,
    quiet: QuietOption = False,
    profile: Annotated[
        bool,
        Option("--profile", help="Fixed bytes and bytes per token of the plan, on devices and on the host."),
    ] = False,
) -> int:
    """What the header says: layers, heads, windows, experts, and sizes by tensor type and by layer."""
    loaded = asked.load(asked.specs()[0])
    if quiet:
        return int(ExitCode.OK)
    if profile:
        return _profile(asked, loaded.model, json=json)
    from budget.render.inspect import inspect_object, inspect_text

    data = inspect_object(loaded.model, path=loaded.source.location, file_bytes=loaded.source.file_bytes)
    if json:
        from budget.render.json import dumps

        print_text(dumps(data))
    else:
        print_text(inspect_text(data))
    return int(ExitCode.OK)


def _profile(asked: Question, model: Model, *, json: bool) -> int:
    from budget.planning.profile import memory_profile, profile_object

    data = profile_object(memory_profile(asked.request(model)))
    if json:
        from budget.render.json import dumps

        print_text(dumps(data))
    else:
        from budget.render.profile import profile_text

        print_text(profile_text(data))
    return int(ExitCode.OK)
