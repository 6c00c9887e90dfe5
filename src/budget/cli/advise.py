"""`budget advise`: settings that fit, as a line to paste."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from budget.cli.output import EXIT, Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.cli.values import count
from budget.errors import UsageError

if TYPE_CHECKING:
    from budget.planning.advise import Advice
    from budget.planning.fit import Request

Prefer = Literal["context", "speed", "quality", "slots"]


@question(models="one")
def command(
    asked: Question,
    out: Output,
    only_line: Annotated[
        bool, Option("--line", help="Print the llama-server line and nothing else.")
    ] = False,
    ctx_min: Annotated[
        str | None,
        Option("--ctx-min", metavar="N", show_default=False, help="Least total context, tokens (4096)."),
    ] = None,
    prefer: Annotated[Prefer, Option("--prefer", help="What decides between settings that fit.")] = "speed",
    bandwidth: Annotated[
        list[str] | None,
        Option(
            "--bandwidth",
            metavar="DEVICE=RATE",
            show_default=False,
            help="Memory bandwidth, such as CUDA0=3350GB/s or ram=80GB/s; repeat for more.",
        ),
    ] = None,
) -> int:
    """Settings that fit and use the machine best, as a ready llama-server line, with what each change costs.

    Flags given here stay as they are; everything else may change: -c, -ngl, -ts, -ncmoe and -ot, -ctk and -ctv,
    -ub, -np, -nkvo.
    """
    if only_line and out.is_given:
        raise UsageError(
            f"--line is one line; it does not go with --format {out.form}", hint="leave one of them away"
        )
    from budget.planning.advise import advise
    from budget.planning.speed import parse_bandwidths

    loaded = asked.load(asked.specs()[0])
    request, servers = _with_servers(asked, asked.request(loaded.model))
    advice = advise(
        request,
        _explicit(asked),
        ctx_min=count("--ctx-min", ctx_min),
        prefer=prefer,
        rates=parse_bandwidths(bandwidth or [], request.machine),
    )
    if only_line:
        _show_line(advice, out, loaded.spec)
        if servers and not out.quiet:
            sys.stderr.write("\n".join(["it needs these servers first:", *servers]) + "\n")
    else:
        from budget.render import advise as render

        source = loaded.source
        out.show(
            data=lambda: render.advise_object(advice, model=loaded.spec, path=source.location,
                                              file_bytes=source.file_bytes, servers=servers),
            screen=lambda: render.advise_screen(advice, model=loaded.spec, servers=servers),
            rows=lambda: render.advise_rows(advice, model=loaded.spec),
        )  # fmt: skip
    return int(EXIT[advice.verdict])


def _explicit(asked: Question) -> frozenset[str]:
    """Names of the settings that were given."""
    if asked.line:
        import os

        from budget.runtime.command_line import parse_command_line

        return parse_command_line(asked.line, os.environ).explicit
    from budget.runtime.command_line import parse_settings

    own = asked.values.get("settings_args") or []
    return parse_settings(own, tool=asked.values.get("tool") or "llama-server", suffixes=True)[1]


def _with_servers(asked: Question, request: Request) -> tuple[Request, list[str]]:
    """`request` with the RPC servers of an inventory in its line, and what starts each server."""
    path = asked.values.get("rpc_from")
    if path is None:
        return request, []
    from budget.machine.inventory.load import load_inventory
    from budget.machine.rpc import DEFAULT_PORT, server_command
    from budget.record import replace

    nodes = [node for node in load_inventory(path) if node.problem is None]
    endpoints = tuple(f"{node.name}:{DEFAULT_PORT}" for node in nodes)
    settings = replace(request.settings, rpc=(*request.settings.rpc, *endpoints))
    return replace(request, settings=settings), [server_command(node.name, node.machine) for node in nodes]


def _show_line(advice: Advice, out: Output, spec: str) -> None:
    """The line alone; where nothing fits, stderr says why."""
    if advice.best is not None:
        from budget.render.advise import command_text

        out.write(command_text(advice.best, spec))
    elif not out.quiet:
        heading = "not known:" if advice.verdict == "unknown" else "nothing fits:"
        sys.stderr.write("\n".join([heading, *advice.notes]) + "\n")
