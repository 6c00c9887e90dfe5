"""The projector of a repository: which one llama.cpp takes, and that a plan counts it as -hf loads it."""

from __future__ import annotations

import json

import pytest

import ghost
import truth
from budget.source import gguf_names, open_model
from inprocess import budget
from source.on_disk import COMMIT
from source.servers import serve
from source.test_hub import REPO, FakeHub

TOY = truth.specs()["toy/llama-dense"]
VISION = {
    "metadata": {
        "general.architecture": ["str", "clip"],
        "clip.has_vision_encoder": ["bool", True],
        "clip.projector_type": ["str", "gemma3"],
        "clip.vision.embedding_length": ["u32", 1152],
        "clip.vision.feed_forward_length": ["u32", 4304],
        "clip.vision.attention.head_count": ["u32", 16],
        "clip.vision.image_size": ["u32", 896],
        "clip.vision.patch_size": ["u32", 14],
    },
    "tensors": [
        ["v.patch_embd.weight", [14, 14, 3, 1152], "F16"],
        ["mm.input_projection.weight", [2560, 1152], "F16"],
    ],
}


def file(spec):
    return ghost.header_bytes(spec) + bytes(ghost.data_bytes(spec))


FILES = {
    "model-Q4_K_M.gguf": file(TOY),
    "mmproj-model-f16.gguf": file(VISION),
    "mmproj-model-Q8_0.gguf": file(VISION),
}


@pytest.mark.parametrize(
    ("model", "files", "expected"),
    [
        pytest.param(
            "m-Q4_K_M.gguf", ["mmproj-F16.gguf", "mmproj-Q8_0.gguf"], "mmproj-Q8_0.gguf", id="closest-bits"
        ),
        pytest.param(
            "m-BF16.gguf", ["mmproj-F32.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf", id="bits-of-bf16"
        ),
        pytest.param(
            "m-F32.gguf", ["mmproj-BF16.gguf", "mmproj-F16.gguf"], "mmproj-BF16.gguf", id="first-of-equals"
        ),
        pytest.param(
            "q4/m-Q4_0.gguf", ["mmproj-Q4_0.gguf", "q4/mmproj-F16.gguf"], "q4/mmproj-F16.gguf", id="deepest"
        ),
        pytest.param(
            "q4/m-Q4_0.gguf", ["q8/mmproj-Q4_0.gguf", "mmproj-F16.gguf"], "mmproj-F16.gguf", id="not-beside"
        ),
        pytest.param("m-Q4_0.gguf", ["m-Q8_0.gguf"], None, id="none"),
    ],
)
def test_which_projector(model, files, expected):
    found = gguf_names.projector_of(gguf_names.group((path, 1) for path in [model, *files]), model)
    assert (found and found.path) == expected


@pytest.fixture(name="hub")
def _hub(monkeypatch):
    monkeypatch.setattr("source.test_hub.FILES", FILES)
    with serve(FakeHub) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


def test_a_listing_names_the_projector_and_a_file_needs_none(hub):
    assert open_model(f"hf://{REPO}:Q4_K_M")[1].projector == f"hf://{REPO}/mmproj-model-Q8_0.gguf@{COMMIT}"
    hub.requests.clear()
    assert open_model(f"hf://{REPO}/model-Q4_K_M.gguf")[1].projector is None
    assert not [path for _, path, _ in hub.requests if "/api/" in path]


CARD = "--gpu 8GiB --ram 16GiB -c 512"


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        pytest.param(f"hf://{REPO}:Q4_K_M {CARD}", True, id="by-default"),
        pytest.param(f"--gpu 8GiB --ram 16GiB -- llama-server -hf {REPO}:Q4_K_M -c 512", True, id="line"),
        pytest.param(f"hf://{REPO}:Q4_K_M {CARD} --no-mmproj", False, id="turned-off"),
        pytest.param(f"hf://{REPO}/model-Q4_K_M.gguf {CARD}", False, id="a-file"),
    ],
)
def test_a_plan_counts_the_projector(hub, line, counted):
    code, out, err = budget(f"fit --json {line}")
    assert code == 0, err
    answer = json.loads(out)
    assert ("projector" in {e["part"] for e in answer["extras"]}) is counted
    assert any("projector mmproj-model-Q8_0.gguf too" in n for n in answer["notes"]) is counted


def test_advice_says_the_model_and_leaves_the_projector_to_llama_cpp(hub):
    code, out, err = budget(f"advise hf://{REPO}:Q4_K_M {CARD} --line")
    assert code == 0, err
    assert f"-hf {REPO}:Q4_K_M" in out
    assert "mmproj" not in out


def test_every_case_of_a_gate_counts_it(hub, tmp_path):
    gate = tmp_path / "GATE.toml"
    gate.write_text(
        f'[[gate]]\nmodel = "hf://{REPO}:Q4_K_M"\nmachine = {{gpu = "8GiB", ram = "16GiB"}}\n'
        'settings = ["-c 512", "-c 1024"]\nexpect = ["CUDA0.extras >= 1MiB"]\n',
        encoding="utf-8",
    )
    code, out, err = budget(f"check {gate}")
    assert code == 0, out + err
