"""`budget inspect`: what the header says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from budget.cli.output import Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.errors import ExitCode

if TYPE_CHECKING:
    from budget.model.facts import Model


@question(models="one")
def command(
    asked: Question,
    out: Output,
    profile: Annotated[
        bool,
        Option("--profile", help="Fixed bytes and bytes per token of the plan, on devices and on the host."),
    ] = False,
) -> int:
    """What the header says: layers, heads, windows, experts, and sizes by tensor type and by layer."""
    loaded = asked.load(asked.specs()[0])
    if profile:
        return _profile(asked, out, loaded.model)
    from budget.render.inspect import inspect_object, inspect_screen

    data = inspect_object(
        loaded.model,
        path=loaded.source.location,
        file_bytes=loaded.source.file_bytes,
        described=asked.described,
    )
    out.show(data=lambda: data, screen=lambda: inspect_screen(data), rows=lambda: data["layers"])
    return int(ExitCode.OK)


def _profile(asked: Question, out: Output, model: Model) -> int:
    from budget.planning.profile import memory_profile, profile_object
    from budget.render.profile import profile_rows, profile_screen

    data = profile_object(memory_profile(asked.request(model)))
    out.show(data=lambda: data, screen=lambda: profile_screen(data), rows=lambda: profile_rows(data))
    return int(ExitCode.OK)
