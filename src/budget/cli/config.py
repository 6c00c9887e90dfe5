"""`budget config`: every option with where it comes from."""

from __future__ import annotations

from budget.cli.output import Output
from budget.cli.question import Question, question
from budget.errors import ExitCode


@question(models="none", settings=False, machine=False)
def command(asked: Question, out: Output) -> int:
    """Each option's value and origin: flag, environment (BUDGET_*), budget.toml, or default."""
    from budget.planning.config import config_object, resolve_config
    from budget.render.config import config_screen

    config = asked.config or resolve_config(
        flags={
            name: asked.values[name] for name in ("budget", "overhead", "reserve") if asked.values.get(name)
        }
    )
    out.show(
        data=lambda: config_object(config),
        screen=lambda: config_screen(config),
        rows=lambda: config_object(config)["settings"],
    )
    return int(ExitCode.OK)
