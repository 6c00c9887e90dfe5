"""The same answers from Python: every command is a thin shell over these functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from budget.companions import open_companions, with_projector
from budget.errors import UsageError
from budget.machine.device import Machine
from budget.model.facts import Model
from budget.planning import fit as fitting
from budget.planning import longest
from budget.planning.budget import BudgetValue, resolve_budget
from budget.planning.described import Described, model_of
from budget.planning.evict import Eviction
from budget.planning.fit import Plan, Request
from budget.planning.ledger import Admission
from budget.planning.policy import Policy, apply_policy
from budget.planning.residents import Live, Resident, beside
from budget.planning.usage import Usage
from budget.runtime.settings import Settings

ModelLike = str | Path | Model | Described
"""A file, an address (`hf://user/repo`, `sample:NAME`, ...), a model read before, or one described by numbers."""
SettingsLike = Settings | str | Sequence[str] | None
"""`Settings`, or llama.cpp's own flags as a line or a list; None for llama-server's defaults."""


def read(model: ModelLike, *, assume: str | None = None) -> tuple[Model, Described | None]:
    """The facts of `model`; only its header is read.

    Raises:
        BadModelError: the file is no model that llama.cpp would load.
        NetworkError: an address cannot be reached.
        UsageError: an address of no kind that budget knows.
    """
    facts, described, _ = _read(model, assume, Settings())
    return facts, described


def _read(
    model: ModelLike, assume: str | None, settings: Settings
) -> tuple[Model, Described | None, str | None]:
    """The facts of `model` under `settings`, and the projector that `-hf` would load with it."""
    if isinstance(model, Model):
        if settings.override_kv:
            raise UsageError(
                "--override-kv changes a header, and the model was read before", hint="pass its path"
            )
        return model, None, None
    if isinstance(model, Described):
        return model_of(model), model, None
    from budget.model.read import read_model
    from budget.source import open_model

    header, source = open_model(str(model))
    if settings.override_kv:
        from budget.runtime.overrides import with_overrides

        header = with_overrides(header, settings.override_kv)
    return read_model(header, assume=assume), None, source.projector


def settings_of(settings: SettingsLike) -> Settings:
    """llama.cpp's settings from a line of its flags, such as `-c 8192 -ngl 20`.

    Raises:
        UsageError: a flag that llama.cpp does not have, or a value that it refuses.
    """
    if settings is None:
        return Settings()
    if isinstance(settings, Settings):
        return settings
    from budget.runtime.command_line import parse_settings
    from budget.runtime.words import split_words

    words = split_words(settings, "settings") if isinstance(settings, str) else list(settings)
    return parse_settings(words, suffixes=True)[0]


def this_machine() -> Machine:
    """The host and the memory devices here, as they are now."""
    from budget.machine.probe import probe_machine

    return probe_machine()


def request(
    model: ModelLike,
    settings: SettingsLike = None,
    *,
    machine: Machine | None = None,
    budget: BudgetValue = "auto",
    policy: Policy | None = None,
    residents: Sequence[Resident] = (),
    live: Live | None = None,
    without: Sequence[str] = (),
    overhead_bytes: int | None = None,
    reserve_bytes: int = 0,
    assume: str | None = None,
) -> Request:
    """The question that the other functions answer.

    Args:
        model: which one; of a repository on Hugging Face the projector counts too, as llama.cpp's `-hf` loads it.
        settings: llama.cpp's, such as `"-c 8192 -ngl 99"`; the files that they name are read.
        machine: this one by default.
        budget: text, bytes, None, or a mapping per device: see `resolve_budget`.
        policy: what is held back, over `reserve_bytes`; none by default.
        residents: models that are loaded already.
        live: bytes that processes hold now, by process id and device.
        without: residents that are unloaded first.
        overhead_bytes: per GPU beyond llama.cpp's buffers; None estimates it.
        reserve_bytes: to be left free on every device.
        assume: architecture whose rules hold for one that budget does not know.

    Raises:
        BudgetError: as `read`, `settings_of` and `resolve_budget`.
    """
    chosen = settings_of(settings)
    facts, described, projector = _read(model, assume, chosen)
    chosen = with_projector(chosen, projector)
    machine = machine or this_machine()
    asked = Request(
        model=facts,
        settings=chosen,
        machine=machine,
        budget=resolve_budget(budget, machine),
        overhead_bytes=overhead_bytes,
        reserve_bytes=reserve_bytes,
        described=described,
        companions=open_companions(chosen, {}),
    )
    if policy is not None:
        asked = apply_policy(asked, policy)
    return beside(asked, residents, live=live, without=without) if residents or without else asked


def plan(asked: Request) -> Plan:
    """The plan of one request: what each device must hold and may hold, and the verdict.

    Raises:
        UsageError: settings that llama.cpp refuses.
        MachineError: a named device does not exist.
        UnknownAnswerError: a number that the answer needs is not known.
    """
    return fitting.plan(asked)


def fit(model: ModelLike, settings: SettingsLike = None, **options: Any) -> Plan:
    """Does `model` fit? The plan of `request(model, settings, **options)`."""
    return plan(request(model, settings, **options))


def max_context(
    model: ModelLike | Request, settings: SettingsLike = None, *, limit: int | None = None, **options: Any
) -> int | None:
    """The largest total context (`-c`) that fits, in tokens; None where not even the smallest does.

    Args:
        model: a model, or a request.
        settings: as for `request`.
        limit: do not look beyond this many tokens; the trained context by default.
        options: as for `request`.

    Raises:
        UnknownAnswerError: what the answer needs is not known.
    """
    asked = model if isinstance(model, Request) else request(model, settings, **options)
    return longest.max_context(asked, limit=limit)


def admit(
    ledger: Path, name: str, asked: Request, *, replaces: str | None = None, live: Live | None = None,
    pid: int | None = None, model: str | None = None,
) -> tuple[Plan, Admission]:  # fmt: skip
    """Plan `asked` beside everything in the ledger file, and admit it where it fits.

    The plan decides what is claimed; the claim is checked again under the ledger's lock, so that of two
    admissions at once both succeed only when both fit.

    Args:
        ledger: the file; made where it is missing.
        name: what the new resident is called.
        asked: the question, without the ledger's residents.
        replaces: a resident that is unloaded for it.
        live: bytes that processes hold now.
        pid: process that will hold it.
        model: where it comes from, for the record.

    Raises:
        UsageError: the ledger cannot be read, or the name is taken.
        MachineError: a resident lies on a device that is not there.
    """
    from budget.planning.usage import check_devices
    from budget.store import ledger as file

    there = file.read_ledger(ledger)
    check_devices(((r.name, r.usage) for r in there.residents), asked.machine)
    out = [replaces] if replaces else []
    answer = plan(beside(asked, there.residents, live=live, without=out))
    resident = Resident(
        name=name, usage=_held(answer.usage), pid=pid, model=model, n_ctx=answer.layout.params.n_ctx
    )
    if not answer.fits:
        devices = tuple(d.name for d in answer.devices if d.fits is None and d.required_bytes)
        return answer, Admission(
            admitted=False, ledger=there, failures=answer.failures, unknown=devices or answer.reasons
        )
    spare = {d.name: d.reserve_bytes for d in answer.devices if d.reserve_bytes}
    return answer, file.admit(ledger, resident, asked.budget, replaces=replaces, live=live, spare=spare)


def _held(usage: Usage) -> Mapping[str, int]:
    return {device: size for device, size in usage.items() if size}


def evict(
    asked: Request, residents: Sequence[Resident], *, live: Live | None = None, keep: Sequence[str] = ()
) -> Eviction | None:
    """The smallest set of `residents` to unload so that `asked` fits; None where nothing helps.

    Raises:
        UnknownAnswerError: it is not known whether it fits alone.
    """
    from budget.planning.evict import evict as smallest

    return smallest(asked, residents, live=live, keep=keep)
