"""`budget fit` with several models, with a ledger to admit to, or with residents to unload."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from budget.cli.options import Question, print_text
from budget.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from budget.planning.fit import Request

_EXIT = {"fits": ExitCode.OK, "does_not_fit": ExitCode.DOES_NOT_FIT, "unknown": ExitCode.UNKNOWN}


def fit_fleet(
    asked: Question, specs: list[str], own: list[tuple[str, str]], *, json: bool, quiet: bool
) -> int:
    """Do all models fit together, loaded in this order?"""
    from budget.planning.residents import fit_together

    requests = [_request(asked, spec, own) for spec in specs]
    answer = fit_together(requests, asked.residents)
    if not quiet:
        from budget.render.fleet import fleet_object, fleet_text

        if json:
            from budget.render.json import dumps

            print_text(dumps(fleet_object(answer, specs)))
        else:
            print_text(fleet_text(answer, specs))
    return int(_EXIT[answer.verdict])


def _request(asked: Question, spec: str, own: list[tuple[str, str]]) -> Request:
    """The request for one model: the shared settings, then those given for it alone with `--for`."""
    from budget.runtime.command_line import parse_settings

    request = asked.request(asked.load(spec).model, count_residents=False)
    mine = [text for name, text in own if name == spec]
    if not mine:
        return request
    words = [*(asked.values.get("settings_args") or []), *(w for text in mine for w in shlex.split(text))]
    settings, _ = parse_settings(words, tool=request.settings.tool, suffixes=True)
    return replace(request, settings=settings)


def check_for(own: list[tuple[str, str]], specs: list[str]) -> None:
    """Refuse settings for a model that is not asked about.

    Raises:
        UsageError: with the models there are.
    """
    for name, _ in own:
        if name not in specs:
            raise UsageError(f"--for {name}: not one of the models", hint=f"models: {', '.join(specs)}")


def admit_model(asked: Question, spec: str, *, name: str | None, json: bool, quiet: bool) -> int:
    """Plan the model beside everything in the ledger, and write it there if it fits."""
    from budget import api

    ledger = asked.values.get("ledger")
    if ledger is None:
        raise UsageError("--admit needs --ledger FILE")
    replaced = asked.values.get("replace") or []
    if len(replaced) > 1:
        raise UsageError("--admit replaces one model at most", hint="release the others first")
    request = asked.request(asked.load(spec).model, count_residents=False)
    plan, admission = api.admit(
        Path(ledger), name or spec, request, replaces=replaced[0] if replaced else None, model=spec
    )
    if not quiet:
        from budget.render.fleet import admission_object, admission_text

        if json:
            from budget.render.json import dumps

            print_text(dumps(admission_object(plan, admission, name or spec)))
        else:
            print_text(admission_text(plan, admission, name or spec))
    if admission.admitted:
        return int(ExitCode.OK)
    return int(ExitCode.UNKNOWN if admission.unknown and not admission.failures else ExitCode.DOES_NOT_FIT)


def evict_for(asked: Question, spec: str, *, json: bool, quiet: bool) -> int:
    """Name the smallest set of residents to unload so that the model fits."""
    from budget.planning.evict import evict

    request = asked.request(asked.load(spec).model, count_residents=False)
    answer = evict(request, asked.residents)
    if not quiet:
        from budget.render.fleet import eviction_object, eviction_text

        if json:
            from budget.render.json import dumps

            print_text(dumps(eviction_object(answer)))
        else:
            print_text(eviction_text(answer))
    return int(ExitCode.DOES_NOT_FIT if answer is None else ExitCode.OK)
