"""The projector of a repository: which one llama.cpp takes, and that a plan counts it as -hf loads it."""

from __future__ import annotations

import json

import pytest

import ghost
import truth
from budget import BadModelError, fit
from budget.machine.describe import describe_machine
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(file(VISION)[:200], "ends inside its header", id="truncated"),
        pytest.param(file(TOY), "not a multimodal projector", id="a-model"),
    ],
)
def test_a_broken_projector_is_named_in_every_row_with_what_leaves_it_away(hub, monkeypatch, content, words):
    broken = {**FILES, "model-Q8_0.gguf": FILES["model-Q4_K_M.gguf"], "mmproj-model-Q8_0.gguf": content}
    monkeypatch.setattr("source.test_hub.FILES", broken)
    code, out, err = budget(f"fit --json hf://{REPO} {CARD}")
    rows = json.loads(out)["quants"]
    assert code == 4, err
    assert len(rows) == 2
    for row in rows:
        assert row["result"] is None
        assert row["error"].startswith(f"the projector hf://{REPO}/mmproj-model-Q8_0.gguf")
        assert words in row["error"]
        assert row["error"].endswith("; --no-mmproj leaves it away")
    assert budget(f"fit --json hf://{REPO} {CARD} --no-mmproj")[0] == 0


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


OF_REPOSITORY = f"hf://{REPO} {CARD} --json"


def test_every_quantisation_of_a_repository_counts_it_as_one_alone_does(hub):
    alone = json.loads(budget(f"fit --json hf://{REPO}:Q4_K_M {CARD}")[1])
    code, out, err = budget(f"fit {OF_REPOSITORY}")
    assert code == 0, err
    (row,) = json.loads(out)["quants"]
    assert row["result"]["required_bytes"] == sum(d["required_bytes"] for d in alone["devices"])
    assert row["result"]["max_ctx"] == alone["max_ctx"]
    assert row["result"]["mmproj"] == f"hf://{REPO}/mmproj-model-Q8_0.gguf@{COMMIT}"
    assert "-hf loads the repository's projector too" in " ".join(
        budget(f"fit hf://{REPO} {CARD}")[1].split()
    )


def test_the_projector_of_every_quantisation_can_be_left_away(hub):
    alone = json.loads(budget(f"fit --json hf://{REPO}:Q4_K_M {CARD} --no-mmproj")[1])
    (row,) = json.loads(budget(f"fit {OF_REPOSITORY} --no-mmproj")[1])["quants"]
    assert row["result"]["required_bytes"] == sum(d["required_bytes"] for d in alone["devices"])
    assert row["result"]["mmproj"] is None
    assert "projector" not in budget(f"fit hf://{REPO} {CARD} --no-mmproj")[1]


@pytest.mark.parametrize(
    "options",
    ["--resident chat=CUDA0:7GiB", "--reserve 1GiB", "--accounting fit", "-mm {mmproj}", "-c 512 -ngl 0"],
)
def test_every_quantisation_is_asked_the_question_that_one_is_asked(hub, tmp_path, options):
    (tmp_path / "mmproj.gguf").write_bytes(FILES["mmproj-model-f16.gguf"])
    options = options.format(mmproj=tmp_path / "mmproj.gguf")
    card = f"--gpu 8GiB --ram 16GiB {options}"
    (row,) = json.loads(budget(f"fit --json hf://{REPO} {card}")[1])["quants"]
    assert (
        row["result"]["max_ctx"] == json.loads(budget(f"fit --json hf://{REPO}:Q4_K_M {card}")[1])["max_ctx"]
    )


def test_a_mistake_is_told_once_before_anything_is_asked_of_the_hub(hub):
    for options, expected in (("-dev CUDA7", 5), ("-mm nowhere.gguf", 4), ("--replace nobody", 2)):
        assert budget(f"fit hf://{REPO} {CARD} {options}")[0] == expected
    assert hub.requests == []


def rig():
    return describe_machine(gpus=["8GiB"], ram="16GiB")


@pytest.mark.parametrize("spec", [f"hf://{REPO}:Q4_K_M", f"hf://{REPO}"])
def test_the_python_interface_counts_it(hub, spec):
    answer = fit(spec, "-c 512", machine=rig())
    shown = json.loads(budget(f"fit --json {spec.removesuffix(':Q4_K_M')}:Q4_K_M {CARD}")[1])
    assert [d.required_bytes for d in answer.devices] == [d["required_bytes"] for d in shown["devices"]]
    assert {extra.part for extra in answer.extras} == {"projector"}
    assert fit(spec, "-c 512 --no-mmproj", machine=rig()).extras == ()


def test_the_python_interface_reads_the_files_that_settings_name(tmp_path):
    for name in ("model-Q4_K_M.gguf", "mmproj-model-f16.gguf"):
        (tmp_path / name).write_bytes(FILES[name])
    model, mmproj = tmp_path / "model-Q4_K_M.gguf", tmp_path / "mmproj-model-f16.gguf"
    answer = fit(model, ["-c", "512", "-mm", str(mmproj)], machine=rig())
    shown = json.loads(budget(f"fit --json {model} -mm {mmproj} {CARD}")[1])
    assert answer.verdict == shown["verdict"] == "fits"
    assert [d.required_bytes for d in answer.devices] == [d["required_bytes"] for d in shown["devices"]]
    with pytest.raises(BadModelError, match=r"--mmproj .*nowhere\.gguf"):
        fit(model, ["-mm", str(tmp_path / "nowhere.gguf")], machine=rig())


def test_one_of_several_models_may_leave_its_projector_away(hub):
    spec = f"hf://{REPO}:Q4_K_M"
    code, out, err = budget(f"fit --json {spec} {spec} {CARD}")
    assert code == 0, err
    assert all(m["devices"][0]["extras_bytes"] > 0 for m in json.loads(out)["models"])
    code, out, err = budget(f"fit --json {spec} {CARD} --for {spec} --no-mmproj")
    assert code == 0, err
    assert [m["devices"][0]["extras_bytes"] for m in json.loads(out)["models"]] == [0]


def test_hardware_that_runs_a_model_holds_its_projector_too(hub):
    def largest(options):
        rows = json.loads(budget(f"hardware rtx-4090 --fits hf://{REPO}:Q4_K_M --json {options}")[1])[
            "hardware"
        ]
        return rows[0]["required_bytes"]["CUDA0"]

    assert largest("") > largest("--no-mmproj")


def test_a_file_that_is_found_comes_without_it(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    code, out, err = budget(f"scan --json {tmp_path} {CARD}")
    rows = {row["name"]: row for row in json.loads(out)["models"]}
    assert code == 0, err
    assert rows["mmproj-model-f16"]["result"] is None
    alone = json.loads(budget(f"fit --json {tmp_path}/model-Q4_K_M.gguf {CARD}")[1])
    found = rows["model-Q4_K_M"]["result"]
    assert found["mmproj"] is None
    assert found["required_bytes"] == sum(d["required_bytes"] for d in alone["devices"])
