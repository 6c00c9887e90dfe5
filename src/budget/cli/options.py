"""Options that several commands share, and the question they add up to."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from budget.errors import UsageError
from budget.units import parse_count, parse_size

if TYPE_CHECKING:
    from budget.gguf.header import Header
    from budget.machine.device import Machine
    from budget.memory.extra import Companion
    from budget.model.facts import Model
    from budget.planning.fit import Request
    from budget.runtime.settings import Settings
    from budget.source import SourceInfo

Accounting = Literal["real", "fit"]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model that was read, and where from."""

    spec: str
    model: Model
    source: SourceInfo


@dataclass(frozen=True, kw_only=True)
class Question:
    """Everything that the shared options say, resolved only as far as a command needs it."""

    values: dict[str, Any]
    line: list[str]
    """A llama.cpp command line given after `--`."""

    def specs(self) -> list[str]:
        """The models asked about.

        Raises:
            UsageError: none was given.
        """
        given = list(self.values.get("models") or ())
        single = self.values.get("model")
        given += [single] if single else []
        from_line = self._command_line.model if self.line else None
        if from_line is not None and not given:
            given = [from_line]
        if not given:
            raise UsageError(
                "no model given", hint="pass a .gguf file, a URL, hf://user/repo, or try sample:llama-3.1-8b"
            )
        return given

    @functools.cached_property
    def _command_line(self) -> Any:
        from budget.runtime.command_line import parse_command_line

        return parse_command_line(self.line, os.environ)

    @functools.cached_property
    def settings(self) -> Settings:
        """llama.cpp's settings, from the line after `--` or from budget's own options."""
        own = self.values.get("settings_args") or []
        if self.line:
            if own:
                raise UsageError(
                    f"{own[0]} stands before `--` and a llama.cpp line after it", hint="put it into that line"
                )
            settings: Settings = self._command_line.settings
            return settings
        from budget.runtime.command_line import parse_settings

        return parse_settings(own, tool=self.values.get("tool") or "llama-server", suffixes=True)[0]

    @functools.cached_property
    def machine(self) -> Machine:
        """This machine, or the one described."""
        from budget.machine.describe import describe_machine

        gpus, ram = self.values.get("gpu") or [], self.values.get("ram")
        no_gpu = bool(self.values.get("no_gpu"))
        machine = describe_machine(gpus=gpus, ram=ram, no_gpu=no_gpu, base=self._base(gpus or no_gpu, ram))
        return self._with_rpc(machine)

    def _base(self, devices_described: object, ram: str | None) -> Machine | None:
        """The machine that descriptions change; None where they say everything."""
        file, program = self.values.get("machine"), self.values.get("probe_with")
        if file is not None:
            from budget.machine.named import open_machine

            return open_machine(file)
        if program is not None:
            from budget.machine.probe import probe_machine_with

            return probe_machine_with(program)
        if devices_described and ram:
            return None
        from budget.machine.probe import probe_machine

        return probe_machine(devices=not devices_described)

    def _with_rpc(self, machine: Machine) -> Machine:
        """With the devices of RPC servers: live ones that the settings name, or those of an inventory."""
        inventory = self.values.get("rpc_from")
        servers = self.settings.rpc if "settings_args" in self.values else ()
        if not servers and inventory is None:
            return machine
        from dataclasses import replace

        from budget.machine.rpc import probe_rpc, rpc_devices_of

        devices, notes = probe_rpc(servers)
        if inventory is not None:
            from budget.machine.inventory.load import load_inventory

            nodes = [(node.name, node.machine) for node in load_inventory(inventory) if node.problem is None]
            devices = (*devices, *rpc_devices_of(nodes))
        return replace(machine, devices=(*devices, *machine.devices), notes=(*machine.notes, *notes))

    @property
    def use_cache(self) -> bool:
        """Whether headers that were read before are used (`--no-cache` turns it off)."""
        return not self.values.get("no_cache")

    def load(self, spec: str) -> Loaded:
        """Read the header of one model."""
        from budget.model.read import read_model
        from budget.source import open_model

        header, source = open_model(spec, use_cache=self.use_cache, quiet=bool(self.values.get("quiet")))
        return Loaded(spec=spec, model=read_model(header, assume=self.values.get("assume")), source=source)

    def _companions(self) -> tuple[Companion, ...]:
        """The projector, adapters and draft model that the settings name, with their headers."""
        settings = self.settings
        if not (settings.mmproj or settings.lora or settings.control_vector or settings.model_draft):
            return ()
        from budget.memory.extras import read_companions

        return read_companions(settings, self._open_header)

    def _open_header(self, spec: str) -> Header:
        """The header of a file that the settings name: a projector, an adapter, a draft model."""
        from budget.source import open_model

        return open_model(spec, use_cache=self.use_cache)[0]

    def request(self, model: Model, *, probe: bool = True) -> Request:
        """The question in the planner's words; without `probe`, on no machine yet."""
        from budget.machine.device import Host, Machine
        from budget.planning.budget import resolve_budget
        from budget.planning.fit import Request

        machine = self.machine if probe else Machine(host=Host())
        if probe:
            from budget.runtime.device_checks import validate_against_devices

            validate_against_devices(self.settings, [d.name for d in machine.devices if d.kind != "cpu"])
        return Request(
            model=model,
            settings=self.settings,
            machine=machine,
            budget=resolve_budget(self.values.get("budget") or "auto", machine),
            overhead_bytes=overhead_of(self.values),
            reserve_bytes=reserve_of(self.values),
            accounting=self.values.get("accounting") or "real",
            companions=self._companions(),
        )


def overhead_of(values: dict[str, Any]) -> int | None:
    """`--overhead` in bytes; None estimates it."""
    text = values.get("overhead") or "auto"
    return None if text == "auto" else _size("--overhead", text)


def reserve_of(values: dict[str, Any]) -> int:
    """`--reserve` in bytes."""
    return _size("--reserve", values.get("reserve") or "0")


def _size(option: str, text: str) -> int:
    try:
        return parse_size(text)
    except UsageError as e:
        raise UsageError(f"{option}: {e.message}", hint=e.hint) from e


def count(option: str, text: str | None) -> int | None:
    """A count given to `option`, None where it was not given."""
    if text is None:
        return None
    try:
        return parse_count(text)
    except UsageError as e:
        raise UsageError(f"{option}: {e.message}", hint=e.hint) from e


_MODELS = ("models", list[str], typer.Argument(None, metavar="MODEL...", show_default=False,
           help="A .gguf file, the first shard of a split model, https://, hf://user/repo[:quant], ollama://name:tag or sample:NAME."))  # fmt: skip # noqa: E501
_MODEL = ("model", str, typer.Argument(None, metavar="MODEL", show_default=False,
          help="A .gguf file, the first shard of a split model, https://, hf://user/repo[:quant], ollama://name:tag or sample:NAME."))  # fmt: skip # noqa: E501
_ASSUME = ("assume", str, typer.Option(None, "--assume", metavar="ARCH", show_default=False,
           help="Use this architecture's memory rules for a model that budget does not know."))  # fmt: skip
_MACHINE: tuple[tuple[str, Any, Any], ...] = (
    ("machine", str, typer.Option(None, "--machine", metavar="FILE", show_default=False,
     help="Plan for the machine in FILE (see `budget devices --json`), or for one of the catalogue, such as "
     "aws:g6e.xlarge.")),
    ("gpu", list[str], typer.Option(None, "--gpu", metavar="SPEC", show_default=False,
     help="Plan for this GPU: a size such as 24GiB, or a name such as rtx-4090 or '2x rtx-3090'; repeat for more.")),
    ("ram", str, typer.Option(None, "--ram", metavar="SIZE", show_default=False, help="Plan for this much RAM.")),
    ("no_gpu", bool, typer.Option(False, "--no-gpu", help="Plan for the CPU alone.")),
    ("probe_with", str, typer.Option(None, "--probe-with", metavar="PROGRAM", show_default=False,
     help="Ask this llama-server or llama-cli for its devices (--list-devices).")),
    ("rpc_from", str, typer.Option(None, "--rpc-from", metavar="INVENTORY", show_default=False,
     help="Plan with an RPC server on every host of an inventory.")),
)  # fmt: skip
_BUDGET: tuple[tuple[str, Any, Any], ...] = (
    ("budget", str, typer.Option("auto", "--budget", metavar="BUDGET", envvar="BUDGET_BUDGET", show_envvar=False,
     help="auto, unlimited, a size (one pool of RAM and VRAM), or a list: ram=64GiB,vram=24GiB,CUDA1=auto.")),
    ("overhead", str, typer.Option("auto", "--overhead", metavar="SIZE",
     help="Memory a process takes on each GPU beyond llama.cpp's buffers; auto estimates it.")),
    ("reserve", str, typer.Option("0", "--reserve", metavar="SIZE",
     help="Memory to leave free on every device.")),
    ("accounting", Accounting, typer.Option("real", "--accounting",
     help="real: what a load reserves; fit: what llama.cpp's own --fit measures.")),
)  # fmt: skip
_TOOL = ("tool", Literal["llama-server", "llama-cli"], typer.Option("llama-server", "--tool",
         help="Whose defaults hold for settings that are not given."))  # fmt: skip

_NO_CACHE = ("no_cache", bool, typer.Option(False, "--no-cache", help="Read headers again, and keep none."))

Parameter = tuple[str, Any, Any]


def question(
    *, models: Literal["many", "one", "none"] = "many", settings: bool = True, machine: bool = True,
    budget: bool = True,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """Give a command the shared options; it receives them as its first argument, a `Question`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        shared: list[Parameter] = []
        if models != "none":
            shared += [_MODELS if models == "many" else _MODEL, _ASSUME, _NO_CACHE]
        if machine:
            shared += _MACHINE
        if budget:
            shared += _BUDGET
        llama = _settings_parameters() if settings else []
        if settings:
            shared.append(_TOOL)
        if models == "none" and settings:
            shared.append(_NO_CACHE)
        return _with_parameters(function, shared, llama)

    return decorate


def _with_parameters(
    function: Callable[..., Any],
    shared: list[Parameter],
    llama: list[tuple[Parameter, Callable[[Any], list[str]]]],
) -> Callable[..., Any]:
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    shared_names = [name for name, _, _ in shared]

    @functools.wraps(function)
    def command(typer_context: typer.Context, **given: Any) -> Any:
        values = {name: given.pop(name) for name in shared_names}
        values["settings_args"] = [
            argument for (name, _, _), to_args in llama for argument in to_args(given.pop(name))
        ]
        return function(Question(values=values, line=typer_context.obj or []), **given)

    parameters = [
        inspect.Parameter("typer_context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    ]
    first = [s for s in shared if s[0] in ("models", "model")]
    rest = [s for s in shared if s[0] not in ("models", "model")]
    parameters += [_parameter(*s) for s in first]
    parameters += [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
    parameters += [_parameter(*s) for s in (*rest, *(p for p, _ in llama))]
    ordered = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) if i else p for i, p in enumerate(parameters)]
    command.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in ordered}
    return command


def _parameter(name: str, kind: Any, info: Any) -> inspect.Parameter:
    optional = info.default is None
    annotation = kind | None if optional and not isinstance(kind, str) else kind
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=info, annotation=annotation)


def _settings_parameters() -> list[tuple[Parameter, Callable[[Any], list[str]]]]:
    """llama.cpp's memory-changing flags as options, and how each goes back to the one parser."""
    from budget.cli.llama_options import parameters

    return parameters()


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing; the exit code is the answer.")
]


def print_text(text: str) -> None:
    """Write the answer: the only thing a command prints on stdout."""
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
