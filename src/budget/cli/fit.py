"""`budget fit`: the verdict."""

from __future__ import annotations

from typing import Annotated

import typer

from budget.cli.options import JsonOption, Question, QuietOption, print_text, question
from budget.errors import ExitCode

EXIT = {"fits": ExitCode.OK, "does_not_fit": ExitCode.DOES_NOT_FIT, "unknown": ExitCode.UNKNOWN}


@question()
def command(
    asked: Question,
    json: JsonOption = False,
    quiet: QuietOption = False,
    buffers: Annotated[bool, typer.Option("--buffers", help="A row per llama.cpp buffer as well.")] = False,
    inventory: Annotated[
        str | None,
        typer.Option(
            "--inventory",
            metavar="FILE",
            show_default=False,
            help="Plan on every host of it: kubectl get nodes -o json, scontrol show nodes --json, or a "
            "folder of machine files.",
        ),
    ] = None,
    pods: Annotated[
        str | None,
        typer.Option(
            "--pods",
            metavar="FILE",
            show_default=False,
            help="What runs there already: kubectl get pods -A -o json.",
        ),
    ] = None,
    emit: Annotated[
        str | None,
        typer.Option(
            "--emit",
            metavar="FORM",
            show_default=False,
            help="kubernetes: resources and node selector of a pod that fits.",
        ),
    ] = None,
) -> int:
    """Does it fit? A verdict, a row per device, what is missing where, and the largest context that fits."""
    from budget.planning.fit import max_context, plan

    specs = asked.specs()
    if len(specs) == 1 and inventory is None:
        from budget.cli.quants import fit_quants, names_repository

        if names_repository(specs[0]):
            return fit_quants(asked, specs[0], json=json, quiet=quiet)
    loaded = asked.load(specs[0])
    if inventory is not None:
        from budget.cli.inventory import fit_inventory

        request = asked.request(loaded.model, probe=False)
        return fit_inventory(asked, request, path=inventory, pods=pods, emit=emit, json=json, quiet=quiet)
    request = asked.request(loaded.model)
    answer = plan(request)
    if not quiet:
        longest = None if answer.reasons else max_context(request)
        if json:
            from budget.render.json import dumps, fit_object

            print_text(dumps(fit_object(answer, path=loaded.source.location, file_bytes=loaded.source.file_bytes,
                                        max_ctx=longest, suggestions=[])))  # fmt: skip
        else:
            from budget.render.table import fit_text

            print_text(fit_text(answer, name=loaded.spec, max_ctx=longest, buffers=buffers))
    return int(EXIT[answer.verdict])
