from __future__ import annotations

import subprocess
import sys

import pytest

import budget
from budget import (
    MachineError,
    Policy,
    Resident,
    UsageError,
    admit,
    evict,
    fit,
    max_context,
    read,
    read_ledger,
    request,
)
from plans import GiB, described, machine

RIG = machine(24)


def test_every_public_name_is_there():
    assert all(getattr(budget, name) is not None for name in budget.__all__)
    assert set(dir(budget)) == set(budget.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = budget.nothing


def test_importing_budget_imports_almost_nothing():
    code = "import sys; before = set(sys.modules); import budget; print(sorted(m for m in set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not [name for name in eval(run.stdout) if name.startswith("budget.")]


def test_a_model_is_asked_about_in_one_line():
    answer = fit(described(), "-c 4096", machine=RIG, overhead_bytes=0)
    assert answer.fits
    assert answer.devices[0].required_bytes == 12 * GiB
    assert max_context(described(), machine=RIG, overhead_bytes=0) == 16384
    assert max_context(request(described(), machine=RIG, overhead_bytes=0), limit=8192) == 8192


def test_a_sample_is_read_by_its_name():
    answer = fit("sample:llama-3.1-8b", ["-c", "8192", "-ngl", "0"], machine=RIG, budget="unlimited")
    assert answer.fits
    assert answer.request.model.architecture == "llama"


def test_metadata_is_replaced_as_settings_say():
    sample, shorter = "sample:llama-3.1-8b", "--override-kv llama.context_length=int:4096"
    assert max_context(sample, shorter, machine=RIG) == 4096
    assert fit(sample, shorter, machine=RIG).request.model.n_ctx_train == 4096
    model, _ = read(sample)
    with pytest.raises(UsageError, match="--override-kv"):
        fit(model, shorter, machine=RIG)


def test_budget_policy_and_residents_come_together():
    options = {
        "machine": RIG,
        "overhead_bytes": 0,
        "residents": [Resident(name="a", usage={"CUDA0": 8 * GiB})],
    }
    assert max_context(described(), **options) == 8192
    assert max_context(described(), **options, without=["a"]) == 16384
    assert max_context(described(), **options, policy=Policy(reserve=4 * GiB)) == 4096
    assert max_context(described(), **options, budget=18 * GiB) == 2048


def test_flags_that_llama_cpp_does_not_have_are_refused():
    with pytest.raises(UsageError):
        fit(described(), "--no-such-flag", machine=RIG)


def test_a_plan_is_admitted_into_a_file(tmp_path):
    path = tmp_path / "ledger.json"
    asked = request(described(), "-c 4096", machine=RIG, overhead_bytes=0)
    for name in ("a", "b"):
        plan, admission = admit(path, name, asked)
        assert plan.fits
        assert admission.admitted
    plan, admission = admit(path, "c", asked)
    assert not admission.admitted
    assert [(f.device, f.short_bytes) for f in admission.failures] == [("CUDA0", 12 * GiB)]
    assert [(r.name, r.usage, r.n_ctx) for r in read_ledger(path).residents] == [
        ("a", {"CUDA0": 12 * GiB}, 4096),
        ("b", {"CUDA0": 12 * GiB}, 4096),
    ]
    assert admit(path, "c", asked, replaces="a")[1].admitted
    found = evict(asked, read_ledger(path).residents)
    assert found is not None
    assert [r.name for r in found.residents] == ["b"]


def test_a_ledger_with_a_device_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "ledger.json"
    admit(path, "a", request(described(), "-c 4096", machine=machine(24, 24), overhead_bytes=0))
    with pytest.raises(MachineError, match="CUDA1"):
        admit(path, "b", request(described(), "-c 4096", machine=RIG, overhead_bytes=0))
