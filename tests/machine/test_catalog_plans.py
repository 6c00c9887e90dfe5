"""Every catalogue entry can be planned on."""

import functools

import pytest

from budget.machine.catalog import entries
from budget.machine.device import Host
from budget.machine.hardware import machine_of
from budget.model.read import read_model
from budget.planning.budget import resolve_budget
from budget.planning.fit import Request, plan
from budget.runtime.settings import Settings
from budget.source.open import open_model
from machine.fakes import GiB

HOST = Host(ram_total_bytes=64 * GiB, ram_available_bytes=60 * GiB, cpu_features=("avx2", "f16c", "fma"))


@functools.cache
def sample():
    header, _ = open_model("sample:llama-3.1-8b")
    return read_model(header)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_a_sample_model_is_planned_on_it(entry):
    machine = machine_of(entry, host=HOST)
    request = Request(
        model=sample(),
        settings=Settings(n_ctx=4096),
        machine=machine,
        budget=resolve_budget("auto", machine),
    )
    answer = plan(request)
    assert answer.verdict in ("fits", "does_not_fit")
    assert sum(device.weights_bytes for device in answer.devices) > 4 * GiB
    assert {device.name for device in answer.devices} == {"CPU", *(device.name for device in machine.devices)}
