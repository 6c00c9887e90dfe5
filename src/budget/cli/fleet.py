"""`budget fit` with several models, with a ledger to admit to, or with residents to unload."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from budget.cli.output import EXIT, Output
from budget.cli.question import Question
from budget.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from budget.planning.fit import Request
    from budget.runtime.settings import Settings


def fit_fleet(asked: Question, out: Output, specs: list[str], own: dict[str, str]) -> int:
    """Do all models fit together, loaded in this order?"""
    from budget.planning.residents import fit_together
    from budget.render import fleet as render

    requests = [_request(asked, spec, own) for spec in specs]
    answer = fit_together(requests, asked.residents)
    out.show(
        data=lambda: render.fleet_object(answer, specs),
        screen=lambda: render.fleet_screen(answer, specs),
        rows=lambda: render.fleet_rows(answer, specs),
    )
    return int(EXIT[answer.verdict])


def _request(asked: Question, spec: str, own: dict[str, str]) -> Request:
    """The request for one model, with the settings given for it alone."""
    settings = _own_settings(asked, spec, own[spec]) if spec in own else None
    return asked.request(asked.load(spec, settings).model, settings, count_residents=False)


def _own_settings(asked: Question, spec: str, flags: str) -> Settings:
    """The shared settings, then the flags of `--for`."""
    from budget.cli.own_flags import refuse_other_model
    from budget.runtime.command_line import parse_command_line, parse_settings
    from budget.runtime.words import split_words

    mine = split_words(flags, f"--for {spec}")
    refuse_other_model(mine, option=f"--for {spec}", spec=spec, tool=asked.settings.tool)
    if asked.line:
        settings = parse_command_line([*asked.line, *mine], os.environ, suffixes=True).settings
    else:
        words = [*(asked.values.get("settings_args") or []), *mine]
        settings = parse_settings(words, tool=asked.settings.tool, suffixes=True)[0]
    if settings.rpc != asked.settings.rpc:
        raise UsageError(
            f"--for {spec}: --rpc adds devices for all models",
            hint="put it before --for, where -dev chooses some",
        )
    return settings


def settings_for(texts: list[str], specs: list[str]) -> dict[str, str]:
    """The flags of each model that `--for MODEL FLAGS` names; `texts` are MODEL=FLAGS.

    Raises:
        UsageError: a model that is not asked about, or is named twice; no flags.
    """
    own: dict[str, str] = {}
    for text in texts:
        name, flags = _parted(text)
        if name not in specs:
            raise UsageError(
                f"--for {name}: not one of the models" if name else "--for: it names no model",
                hint=f"models: {', '.join(specs)}",
            )
        if not flags:
            raise UsageError(f"--for {name}: no flags", hint=f"such as --for {name} '-c 8192 -ngl 20'")
        if name in own:
            raise UsageError(
                f"--for {name} is given twice",
                hint="put all its flags into one; they are for every model of that name, so call another one ./NAME",
            )
        own[name] = flags
    return own


def _parted(text: str) -> tuple[str, str]:
    """MODEL and FLAGS of MODEL=FLAGS: flags begin with a dash, and an address may have an equals sign of its own."""
    for at, character in enumerate(text):
        if character == "=" and text[at + 1 :].lstrip()[:1] in ("-", ""):
            return text[:at], text[at + 1 :].strip()
    name, _, flags = text.partition("=")
    return name, flags.strip()


def admit_model(asked: Question, out: Output, spec: str, *, name: str | None) -> int:
    """Plan the model beside everything in the ledger, and write it there if it fits."""
    from budget import api
    from budget.render import fleet as render

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
    out.show(
        data=lambda: render.admission_object(plan, admission, name or spec),
        screen=lambda: render.admission_screen(plan, admission, name or spec),
        rows=lambda: render.admission_object(plan, admission, name or spec)["devices"],
    )
    if admission.admitted:
        return int(ExitCode.OK)
    return int(ExitCode.UNKNOWN if admission.unknown and not admission.failures else ExitCode.DOES_NOT_FIT)


def evict_for(asked: Question, out: Output, spec: str) -> int:
    """Name the smallest set of residents to unload so that the model fits."""
    from budget.planning.evict import evict
    from budget.render import fleet as render

    request = asked.request(asked.load(spec).model, count_residents=False)
    answer = evict(request, asked.residents)
    out.show(
        data=lambda: render.eviction_object(answer),
        screen=lambda: render.eviction_screen(answer),
        rows=lambda: render.eviction_object(answer)["evict"],
    )
    return int(ExitCode.DOES_NOT_FIT if answer is None else ExitCode.OK)
