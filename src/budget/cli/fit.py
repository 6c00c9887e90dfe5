"""`budget fit`: the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from budget.cli.output import EXIT, Output, VerboseOption
from budget.cli.parameters import Option
from budget.cli.question import Loaded, Question, question
from budget.errors import UsageError

if TYPE_CHECKING:
    from budget.planning.fit import Plan


@question()
def command(
    asked: Question,
    out: Output,
    verbose: VerboseOption = False,
    buffers: Annotated[bool, Option("--buffers", help="A row per llama.cpp buffer as well.")] = False,
    host: Annotated[
        bool,
        Option("--host", help="The host's memory part by part: after loading, and once everything is full."),
    ] = False,
    inventory: Annotated[
        str | None,
        Option(
            "--inventory",
            metavar="FILE",
            show_default=False,
            help="Plan on every host of it: kubectl get nodes -o json, scontrol show nodes --json, or a "
            "folder of machine files.",
        ),
    ] = None,
    pods: Annotated[
        str | None,
        Option(
            "--pods",
            metavar="FILE",
            show_default=False,
            help="What runs there already: kubectl get pods -A -o json.",
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        Option(
            "--for",
            metavar="MODEL FLAGS",
            show_default=False,
            help="Settings of one of several models: --for a.gguf '-c 8192 -ngl 20'.",
        ),
    ] = None,
    admit: Annotated[
        bool, Option("--admit", help="Write the model into the ledger if it fits, under its lock.")
    ] = False,
    name: Annotated[
        str | None,
        Option("--name", metavar="NAME", show_default=False, help="What the ledger calls it."),
    ] = None,
    evict: Annotated[
        bool, Option("--evict", help="Name the fewest residents to unload so that the model fits.")
    ] = False,
    emit: Annotated[
        str | None,
        Option(
            "--emit",
            metavar="FORM",
            show_default=False,
            help="kubernetes: resources and node selector of a pod that fits.",
        ),
    ] = None,
) -> int:
    """Does it fit? A verdict, a row per device, what is missing where, and the largest context that fits."""
    from budget.planning.fit import plan
    from budget.planning.longest import max_context

    specs = asked.specs()
    several = len(specs) > 1 or bool(own)
    _check_together(asked, out, several=several, admit=admit, evict=evict, name=name, inventory=inventory, pods=pods,
                    emit=emit)  # fmt: skip
    if several or admit or evict:
        from budget.cli import fleet

        settings_of = fleet.settings_for(own or [], specs)
        if admit:
            return fleet.admit_model(asked, out, specs[0], name=name)
        if evict:
            return fleet.evict_for(asked, out, specs[0])
        return fleet.fit_fleet(asked, out, specs, settings_of)
    if len(specs) == 1 and inventory is None:
        from budget.cli.quants import fit_quants, names_repository

        if names_repository(specs[0]):
            return fit_quants(asked, out, specs[0])
    loaded = asked.load(specs[0])
    if inventory is not None:
        from budget.cli.inventory import fit_inventory

        return fit_inventory(asked, out, loaded.model, path=inventory, pods=pods, emit=emit)
    request = asked.request(loaded.model)
    answer = plan(request)
    if not out.quiet:
        longest = None if answer.reasons else max_context(request)
        _show(loaded, answer, out, max_ctx=longest, buffers=buffers, host=host, verbose=verbose)
    return int(EXIT[answer.verdict])


def _check_together(
    asked: Question, out: Output, *, several: bool, admit: bool, evict: bool, name: str | None, inventory: str | None,
    pods: str | None, emit: str | None,
) -> None:  # fmt: skip
    """Refuse options that would be ignored beside each other.

    Raises:
        UsageError: it names both.
    """
    what = "--admit" if admit else "--evict" if evict else "several models"
    one_machine = next((f"--{n.replace('_', '-')}" for n in _ONE_MACHINE if asked.values.get(n)), "")
    rules = (
        (several and (admit or evict), f"{what} takes one model, without --for"),
        (admit and evict, "--admit and --evict are two questions"),
        (
            inventory and (several or admit or evict),
            f"--inventory is for one model; it does not go with {what}",
        ),
        (
            inventory and one_machine,
            f"--inventory has machines of its own; {one_machine} does not go with it",
        ),
        (pods and not inventory, "--pods says what runs on the hosts of --inventory, which is not given"),
        (emit and not inventory, "--emit needs --inventory, whose hosts it chooses from"),
        (emit and out.is_given, f"--emit writes YAML; it does not go with --format {out.form}"),
        (name and not admit, "--name is what --admit writes; it does nothing here"),
    )
    for is_broken, text in rules:
        if is_broken:
            raise UsageError(text, hint="see budget fit --help")


_ONE_MACHINE = (
    "machine", "gpu", "ram", "no_gpu", "probe_with", "rpc_from", "resident", "ledger", "replace",
)  # fmt: skip
"""Options that say what one machine is, or what is loaded on it."""


def _show(
    loaded: Loaded,
    answer: Plan,
    out: Output,
    *,
    max_ctx: int | None,
    buffers: bool,
    host: bool,
    verbose: bool,
) -> None:
    """The answer in the form that was asked for."""
    from budget.render import fit as render
    from budget.render.json import fit_object

    out.show(
        data=lambda: fit_object(answer, path=loaded.source.location, file_bytes=loaded.source.file_bytes,
                                max_ctx=max_ctx, suggestions=_suggestions(answer)),
        screen=lambda: render.fit_screen(answer, name=loaded.spec, max_ctx=max_ctx, suggestions=_suggestions(answer),
                                         buffers=buffers, host=host, verbose=verbose),
        rows=lambda: render.fit_rows(answer, name=loaded.spec, max_ctx=max_ctx),
    )  # fmt: skip


def _suggestions(answer: Plan) -> list[dict[str, Any]]:
    """What would make it fit; nothing is computed where it does."""
    if answer.verdict != "does_not_fit" or answer.request.described is not None:
        return []
    from budget.planning.suggest import suggest, suggestion_object

    return [suggestion_object(s) for s in suggest(answer)]
