from __future__ import annotations

import json
import random

import pytest

from budget.api import request as ask
from budget.planning.fit import plan
from budget.planning.longest import context_limit, with_context
from budget.planning.profile import memory_profile, profile_object
from plans import GiB, described, machine, request

PAIR = machine(24, 12)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "gemma-3-27b", "gpt-oss-20b"])
@pytest.mark.parametrize("flags", ["", "-ctk q8_0 -ctv q8_0", "-np 2 -no-kvu -ngl 20"])
def test_a_profile_is_the_plan_at_any_context(model, flags):
    asked = ask(f"sample:{model}", flags, machine=PAIR, overhead_bytes=0)
    profile = memory_profile(asked)
    limit = context_limit(asked)
    chosen = random.Random(5).sample(range(1024, limit), 12)
    for n_ctx in [*chosen, 1024, limit]:
        answer = plan(with_context(asked, n_ctx))
        sizes = {d.name: d.required_bytes for d in answer.devices}
        assert {name: curve.bytes_at(n_ctx) for name, curve in profile.devices.items()} == sizes
        assert profile.device_local_bytes(n_ctx) == sizes["CUDA0"] + sizes["CUDA1"]
        assert profile.host_visible_bytes(n_ctx) == sizes["CPU"]
        assert profile.unified_bytes(n_ctx) == sum(sizes.values())


def test_windows_bend_the_slope_and_the_profile_says_where():
    profile = memory_profile(ask("sample:gemma-3-27b", "-ngl 0", machine=machine(), overhead_bytes=0))
    slopes = [s.bytes_per_token for s in profile.host_visible.segments]
    # from one micro-batch on: 52 of 62 layers keep 4 x 1024 + 512 tokens
    bend = next(s.last_n_ctx for s in profile.host_visible.segments if s.last_n_ctx and s.last_n_ctx > 512)
    assert bend == 4608
    assert slopes[-1] < slopes[-2]


def test_a_described_model_has_its_own_numbers_as_its_profile():
    profile = memory_profile(request(described(fixed_bytes=GiB), machine(24)))
    assert profile.device_local.fixed_bytes == 9 * GiB
    assert [s.bytes_per_token for s in profile.device_local.segments] == [1 << 20]
    assert profile.host_visible.bytes_at(4096) == 0
    assert profile.basis == "estimate"


def test_a_profile_is_plain_json():
    data = json.loads(json.dumps(profile_object(memory_profile(request(described(), machine(24))))))
    assert data["schema"] == "budget/profile/v1"
    assert data["unified"]["ranges"] == [
        {"first_n_ctx": 256, "last_n_ctx": 32768, "fixed_bytes": 8 * GiB, "bytes_per_token": 1 << 20}
    ]
    assert data["devices"][0] == {"name": "CUDA0", "weights_bytes": 8 * GiB, **data["device_local"]}
