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
from budget.cli.values import count
from budget.errors import BadModelError, UsageError
from budget.record import record

if TYPE_CHECKING:
    from budget.gguf.header import Header
    from budget.machine.device import Machine
    from budget.memory.extra import Companion
    from budget.model.facts import Model
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
        from budget.cli.machine import machine_of

        return machine_of(self.values, self.settings.rpc if "settings_args" in self.values else ())

    @property
    def use_cache(self) -> bool:
        """Whether headers that were read before are used (`--no-cache` turns it off)."""
        return not self.values.get("no_cache")

    def load(self, spec: str, settings: Settings | None = None) -> Loaded:
        """Read the header of one model, or take the one that options describe.

        Args:
            settings: of this model alone, instead of the shared ones.
        """
        if spec == DESCRIBED and self.described is not None:
            from budget.planning.described import model_of
            from budget.source import SourceInfo

            source = SourceInfo(location=DESCRIBED, file_bytes=self.described.weights_bytes)
            return Loaded(spec=spec, model=model_of(self.described), source=source)
        from budget.source import open_model

        header, source = open_model(spec, use_cache=self.use_cache, quiet=bool(self.values.get("quiet")))
        try:
            model = self.understand(header, source, settings)
        except BadModelError as e:
            raise e.at(spec) from e
        return Loaded(spec=spec, model=model, source=source)

    def understand(self, header: Header, source: SourceInfo, settings: Settings | None = None) -> Model:
        """The model of a header that was read, its metadata replaced where `--override-kv` says so."""
        from budget.model.read import read_model

        overrides = (settings or self.settings).override_kv
        if overrides:
            from budget.runtime.overrides import with_overrides

            header = with_overrides(header, overrides)
        model = read_model(header, assume=self.values.get("assume"))
        self.know(model, source)
        return model

    def know(self, model: Model, source: SourceInfo) -> None:
        """Plan `model` with what its source says lies beside it."""
        self._beside[id(model)] = source.projector

    @functools.cached_property
    def _beside(self) -> dict[int, str | None]:
        """Models that were read, by identity, and the projector in the repository of each."""
        return {}

    @functools.cached_property
    def _headers(self) -> dict[str, Header]:
        """Projectors, adapters and draft models that were read, by path."""
        return {}

    def with_companions(
        self, model: Model, settings: Settings | None = None
    ) -> tuple[Settings, tuple[Companion, ...]]:
        """The settings that `model` is loaded with, its repository's projector among them, and what they name."""
        from budget.companions import open_companions, with_projector

        settings = with_projector(settings or self.settings, self._beside.get(id(model)))
        return settings, open_companions(settings, self._headers, use_cache=self.use_cache)

    def ready(self) -> Question:
        """Settle all that does not depend on a model, so that a mistake is told before any of many is read.

        What was settled travels with the question to other processes.
        """
        from budget.planning.described import Described, model_of

        self.request(model_of(Described(weights_bytes=0)))
        return self

    def request(
        self,
        model: Model,
        settings: Settings | None = None,
        *,
        on: Machine | None = None,
        count_residents: bool = True,
        with_policy: bool = True,
    ) -> Request:
        """The question in the planner's words.

        Args:
            settings: of this model alone, instead of the shared ones.
            on: another machine than the one asked about.
            count_residents: whether what is loaded already counts.
            with_policy: whether the policy lowers the caps.
        """
        from budget.cli.policy import counted, limits_of, resolved_budget, under_policy
        from budget.planning.fit import Request
        from budget.runtime.device_checks import validate_against_devices

        machine = self.machine if on is None else on
        own, companions = self.with_companions(model, settings)
        validate_against_devices(own, [d.name for d in machine.devices if d.kind != "cpu"])
        text, overhead, reserve = limits_of(self.values, self.config)
        request = Request(
            model=model,
            settings=own,
            machine=machine,
            budget=resolved_budget(text, machine, self.config),
            overhead_bytes=overhead,
            reserve_bytes=reserve,
            accounting=self.values.get("accounting") or "real",
            companions=companions,
            described=self.described,
        )
        if with_policy:
            request = under_policy(request, self.config)
        if count_residents:
            request = counted(request, self.residents, without=self.values.get("replace") or [])
        return request


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
        llama: list[tuple[Parameter, Callable[[Any], list[str]]]] = []
        if settings:
            from budget.cli.llama_options import parameters

            llama = parameters()
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
