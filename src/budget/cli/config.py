"""`budget config`: every option with where it comes from."""

from __future__ import annotations

from budget.cli.options import JsonOption, Question, QuietOption, print_text, question
from budget.errors import ExitCode


@question(models="none", settings=False, machine=False)
def command(asked: Question, json: JsonOption = False, quiet: QuietOption = False) -> int:
    """Each option's value and origin: flag, environment (BUDGET_*), budget.toml, or default."""
    from budget.planning.config import config_object, resolve_config, shown
    from budget.render.plain import table

    config = asked.config or resolve_config(
        flags={
            name: asked.values[name] for name in ("budget", "overhead", "reserve") if asked.values.get(name)
        }
    )
    if quiet:
        return int(ExitCode.OK)
    if json:
        from budget.render.json import dumps

        print_text(dumps(config_object(config)))
    else:
        rows = [
            [
                s.name,
                "none" if s.value is None else str(shown(s.value)),
                s.origin,
                "" if s.origin == s.where else s.where,
            ]
            for s in config.settings.values()
        ]
        print_text("\n".join(table(["option", "value", "from", ""], rows, left=(0, 1, 2, 3))))
    return int(ExitCode.OK)
