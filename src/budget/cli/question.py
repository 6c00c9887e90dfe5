"""The question that the shared options add up to, resolved only as far as a command needs it."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from budget.cli import options
from budget.cli.options import DESCRIBED, DESCRIBED_OPTIONS
from budget.cli.output import output_of
from budget.cli.parameters import Parameter, own_parameters
from budget.errors import BadModelError, BudgetError, UsageError
from budget.record import record
from budget.units import parse_count, parse_size

if TYPE_CHECKING:
    from budget.gguf.header import Header
    from budget.machine.device import Machine
    from budget.memory.extra import Companion
    from budget.model.facts import Model
    from budget.planning.budget import Budget
    from budget.planning.config import Config
    from budget.planning.described import Described
    from budget.planning.fit import Request
    from budget.planning.residents import Resident
    from budget.runtime.settings import Settings
    from budget.source import SourceInfo


@record(slots=False)
class Loaded:
    """A model that was read, and where from."""

    spec: str
    model: Model
    source: SourceInfo


@record(slots=False)
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
        if given:
            self._refuse_second(given[0])
        elif from_line is not None:
            given = [from_line]
        describing = self._describing()
        if given and describing:
            raise UsageError(
                f"two models: {given[0]}, and the one that {' '.join(describing)} describe",
                hint="leave one of them away",
            )
        if self.described is not None:
            return [DESCRIBED]
        if not given:
            raise UsageError(
                "no model given", hint="pass a .gguf file, a URL, hf://user/repo, or try sample:llama-3.1-8b"
            )
        return given

    def _refuse_second(self, given: str) -> None:
        """A model before `--` is the question; another in the line itself would be ignored."""
        if not self.line:
            return
        from budget.runtime.command_line import parse_command_line

        named = parse_command_line(self.line, {}).model
        if named is not None and named != given:
            raise UsageError(
                f"two models: {given} stands before `--`, and the llama.cpp line after it names {named}",
                hint="leave one of them away",
            )

    def _describing(self) -> list[str]:
        """The options given that describe a model by numbers."""
        return [p.declared.spellings[0] for p in options.DESCRIPTION if self.values.get(p.name) is not None]  # type: ignore[union-attr]

    @functools.cached_property
    def _command_line(self) -> Any:
        from budget.runtime.command_line import parse_command_line

        return parse_command_line(self.line, os.environ)

    @functools.cached_property
    def described(self) -> Described | None:
        """The model that `--params`, `--layers` and the like describe; None where they are not used."""
        given: dict[str, Any] = {
            key: self.values.get(key) for key in DESCRIBED_OPTIONS if self.values.get(key) is not None
        }
        if not given:
            return None
        from budget.planning.described import describe_model

        if "n_ctx_train" in given:
            given["n_ctx_train"] = count("--ctx-train", given["n_ctx_train"])
        return describe_model(**given)

    @functools.cached_property
    def config(self) -> Config | None:
        """budget.toml, the environment and the flags; None where only defaults count."""
        from budget.cli.policy import config_of

        return config_of(self.values)

    @functools.cached_property
    def residents(self) -> tuple[Resident, ...]:
        """What is loaded already."""
        from budget.cli.policy import residents_of

        return residents_of(self.values, self.machine, self.config)

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
        tool: Any = self.values.get("tool") or "llama-server"
        if not own:  # what parse_settings makes of nothing, without loading it
            from budget.runtime.settings import Settings

            return Settings(tool=tool)
        from budget.runtime.command_line import parse_settings

        return parse_settings(own, tool=tool, suffixes=True)[0]

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
        """Read the header of one model, or take the one that options describe."""
        if spec == DESCRIBED and self.described is not None:
            from budget.planning.described import model_of
            from budget.source import SourceInfo

            source = SourceInfo(location=DESCRIBED, file_bytes=self.described.weights_bytes)
            return Loaded(spec=spec, model=model_of(self.described), source=source)
        from budget.model.read import read_model
        from budget.source import open_model

        header, source = open_model(spec, use_cache=self.use_cache, quiet=bool(self.values.get("quiet")))
        if self.settings.override_kv:
            from budget.runtime.overrides import with_overrides

            header = with_overrides(header, self.settings.override_kv)
        try:
            model = read_model(header, assume=self.values.get("assume"))
        except BadModelError as e:
            raise BadModelError(f"{spec}: {e.message}", hint=e.hint) from e
        loaded = Loaded(spec=spec, model=model, source=source)
        self.know(loaded)
        return loaded

    def know(self, loaded: Loaded) -> None:
        """Plan `loaded` with what its source says lies beside it."""
        self._beside[id(loaded.model)] = loaded.source.projector

    @functools.cached_property
    def _beside(self) -> dict[int, str | None]:
        """Models that were read, by identity, and the projector in the repository of each."""
        return {}

    def _settings_of(self, model: Model) -> Settings:
        """The settings, with the projector that `-hf` loads of itself (`--mmproj-auto`, which is on)."""
        settings, projector = self.settings, self._beside.get(id(model))
        if projector is None or settings.mmproj is not None or not settings.mmproj_auto:
            return settings
        from dataclasses import replace

        return replace(settings, mmproj=projector)

    def _companions(self, settings: Settings) -> tuple[Companion, ...]:
        """The projector, adapters and draft model that the settings name, with their headers."""
        if not (settings.mmproj or settings.lora or settings.control_vector or settings.model_draft):
            return ()
        from budget.memory.extras import companion_paths, read_companions

        flags = {"mmproj": "--mmproj", "lora": "--lora", "draft": "-md"}
        flag_of = {path: flags[role] for role, path in companion_paths(settings)}
        return read_companions(settings, lambda path: self._open_header(path, flag_of[path]))

    def _open_header(self, spec: str, flag: str) -> Header:
        """The header of a file that the settings name: a projector, an adapter, a draft model."""
        from budget.source import open_model

        try:
            return open_model(spec, use_cache=self.use_cache)[0]
        except BudgetError as e:
            hint = "check the path" if e.hint and "sample:" in e.hint else e.hint
            raise type(e)(f"{flag} {e.message}", hint=hint) from e

    def request(
        self, model: Model, *, probe: bool = True, count_residents: bool = True, with_policy: bool = True
    ) -> Request:
        """The question in the planner's words; without `probe`, on no machine yet."""
        from budget.machine.device import Host, Machine
        from budget.planning.fit import Request

        machine = self.machine if probe else Machine(host=Host())
        if probe:
            from budget.runtime.device_checks import validate_against_devices

            validate_against_devices(self.settings, [d.name for d in machine.devices if d.kind != "cpu"])
        config, text = self.config, _given(self.values, "budget", "auto")
        overhead, reserve = overhead_of(self.values), reserve_of(self.values)
        if config is not None:
            text = config.value("budget")
            overhead = None if config.value("overhead") == "auto" else config.value("overhead")
            reserve = config.value("reserve") if isinstance(config.value("reserve"), int) else 0
        settings = self._settings_of(model)
        request = Request(
            model=model,
            settings=settings,
            machine=machine,
            budget=self._resolved(text, machine),
            overhead_bytes=overhead,
            reserve_bytes=reserve,
            accounting=self.values.get("accounting") or "real",
            companions=self._companions(settings),
            described=self.described,
        )
        if config is None and not (self.values.get("resident") or self.values.get("ledger")):
            return request
        from budget.cli.policy import counted, under_policy

        if with_policy:
            request = under_policy(request, config)
        return (
            counted(request, self.residents, without=self.values.get("replace") or [])
            if count_residents
            else request
        )

    def _resolved(self, text: str, machine: Machine) -> Budget:
        """The budget that `text` means; a mistake names the variable or the file that `text` comes from."""
        from budget.planning.budget import resolve_budget

        try:
            return resolve_budget(text, machine)
        except BudgetError as e:
            setting = self.config.settings["budget"] if self.config is not None else None
            if setting is None or setting.origin not in ("environment", "file"):
                raise
            where = setting.where if setting.origin == "environment" else f"{setting.where}: budget"
            raise type(e)(e.message.replace("--budget", where, 1), hint=e.hint) from e


def overhead_of(values: dict[str, Any]) -> int | None:
    """`--overhead` in bytes; None estimates it."""
    text = _given(values, "overhead", "auto")
    return None if text == "auto" else _size("--overhead", text)


def reserve_of(values: dict[str, Any]) -> int:
    """`--reserve` in bytes."""
    return _size("--reserve", _given(values, "reserve", "0"))


def _given(values: dict[str, Any], name: str, default: str) -> str:
    """What an option was given, `default` where it was not; an empty text was given, and is a mistake."""
    value: str | None = values.get(name)
    return default if value is None else value


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


def question(
    *, models: Literal["many", "one", "none"] = "many", settings: bool = True, machine: bool = True,
    budget: bool = True, window: bool = False, output: tuple[Parameter, ...] = options.OUTPUT,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:  # fmt: skip
    """Give a command the shared options; it receives a `Question` and an `Output` before its own."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        first = () if models == "none" else (options.MODELS if models == "many" else options.MODEL,)
        rest: list[Parameter] = [] if models == "none" else [options.ASSUME, options.NO_CACHE]
        if machine:
            rest += options.MACHINE
        if budget:
            rest += (*options.BUDGET, *options.POLICY, *(options.WINDOW if window else ()))
        if budget and models != "none":
            rest += options.DESCRIPTION
        llama = _settings_parameters() if settings else []
        if settings:
            rest.append(options.TOOL)
        if models == "none" and settings:
            rest.append(options.NO_CACHE)
        names = [p.name for p in (*first, *rest)]

        @functools.wraps(function)
        def command(line: list[str], **given: Any) -> Any:
            out = output_of(**{p.name: given.pop(p.name) for p in output})
            values = {name: given.pop(name) for name in names}
            values["quiet"] = out.quiet
            values["settings_args"] = [
                argument for option, to_args in llama for argument in to_args(given.pop(option.name))
            ]
            return function(Question(values=values, line=line), out, **given)

        command.parameters = [*first, *output, *own_parameters(function), *rest, *(p for p, _ in llama)]  # type: ignore[attr-defined]
        return command

    return decorate


def _settings_parameters() -> list[tuple[Parameter, Callable[[Any], list[str]]]]:
    """llama.cpp's memory-changing flags as options, and how each goes back to the one parser."""
    from budget.cli.llama_options import parameters

    return parameters()
