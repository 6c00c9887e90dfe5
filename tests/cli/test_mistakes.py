"""A mistake names the option, the variable or the file where it stands, and what to write instead."""

from __future__ import annotations

import pytest

from ghost import write_ghost
from inprocess import CARD, S, budget

FIT = f"fit {S} {CARD}"


@pytest.mark.parametrize(
    ("line", "code", "message", "hint"),
    [
        (f"{FIT} -c abc", 2, "-c abc: not a whole number", "such as 32768 or 32k"),
        (f"{FIT} -c -1", 2, "-c -1: must be 0 or more", "0 takes the context that the model was trained with"),
        (f"{FIT} -ngl x", 2, "-ngl x: not a whole number", "auto, or all"),
        (f"{FIT} -fa maybe", 2, "-fa maybe: no such choice", "choose from auto, on, off"),
        (f"fit {CARD} -- llama-server -m {S} -fa", 2, "-fa needs a value", "write -fa auto|on|off"),
        (f"fit {CARD} -- llama-server -m {S} -c", 2, "-c needs a value", "write -c N"),
        (f"{FIT} --rpc foo", 2, "--rpc foo: no HOST:PORT", "such as --rpc foo:50052"),
        (f"{FIT} --mmproj nofile", 4, "--mmproj nofile: no such file", "check the path\n"),
        (f"{FIT} --lora nofile", 4, "--lora nofile: no such file", "check the path\n"),
        (f"{FIT} -md nofile", 4, "-md nofile: no such file", "check the path\n"),
        (f"{FIT} --budget CUDA1=4GiB", 5, "--budget 'CUDA1=4GiB': no device 'CUDA1'", "devices here: ram, vram, CUDA0"),
        (f"{FIT} --budget vram=4GiB:5GiB", 5, "2 GPU sizes for 1 GPU\n", "one per GPU"),
        (f"{FIT} -mg 3", 2, "-mg 3: there is 1 device, number 0", "CUDA0"),
        (f"{FIT} -ts 1,2", 2, "-ts has 2 shares for 1 device\n", "one share per device"),
        (f"{FIT} -ctk q4", 2, "-ctk q4: no such choice", "did you mean q4_0?"),
        (f"{FIT} --assume gemm", 2, "--assume gemm: no such architecture", "did you mean gemma or gemma2 or gemma3?"),
        (f"{FIT} --assume Qwen2", 2, "--assume Qwen2: no such architecture", "did you mean qwen2 or"),
        (f"{FIT} -ctk Q8_0", 2, "-ctk Q8_0: no such choice", "did you mean q8_0?"),
        (f"fit --params 8B --quant Q4 -c 4k {CARD}", 2, "--quant Q4", "did you mean Q4_K_M or Q4_0 or Q4_K_S?"),
        (f"fit --params 8B --quant Q4_K_M --bpw 4 {CARD}", 2, "needs --bpw or --quant, not both", "Q4_K_M"),
        (f"fit --params 8B --layers 1.5 {CARD}", 2, "'1.5' is no whole number", "budget fit --help"),
        (f"fit --params 8B --quant Q4_K_M --ctx-train x {CARD}", 2, "--ctx-train: not a count: 'x'", "32k"),
        (f"max-ctx {S} {CARD} --utilization 2", 2, "--utilization 2: must be above 0", "such as 0.85"),
        (f"fit {S} --machine rtx-4090", 5, "--machine rtx-4090: a card", "--gpu rtx-4090 --ram SIZE"),
        (f"fit {S} --gpu g6.xlarge", 2, "--gpu 'g6.xlarge'", "--machine g6.xlarge"),
        (f"fit {S} --machine aws:foo", 5, "no 'aws:foo'", "near: aws-"),
        (f"fit {S} --machine nothing-like-it-at-all", 5, "no 'nothing-like-it-at-all'", "--gpu 24GiB --ram 64GiB"),
        (f"{FIT} --replace chat", 2, "no resident 'chat'", "residents: none"),
        (f"{FIT} --min-hot-context 4k", 2, "no such option: --min-hot-context", "budget fit --help"),
        (f"fit {S} --gpu 24", 2, "no '24'", "a size has a unit, such as --gpu 24GiB"),
        (f"fit {S} --gpu -1", 2, "no '-1'", "a size has a unit"),
        (f"fit {S} --gpu 24GiBs", 2, "no '24GiBs'", "a size has a unit"),
        (f"fit {S} --gpu ''", 2, "no ''", "a size has a unit"),
        (f"fit {S} --gpu 24GiB,12GiB", 2, "no '24GiB,12GiB'", "--gpu 24GiB --gpu 12GiB"),
        (f"fit {S} --gpu 4091", 2, "no '4091'", "near: "),
        (f"fit {S} --gpu h100:", 2, "can be several", "or its size: h100:80GiB\n"),
        (f"fit {S} --gpu 8GiB --ram 64", 2, "--ram 64 is 64 B", "a size has a unit, such as 64GiB"),
        (f"{FIT} --budget ''", 2, "--budget '': not a size: ''", "write auto"),
        (f"{FIT} --overhead ''", 2, "--overhead: not a size: ''", "such as 24GiB"),
        (f"{FIT} --reserve ''", 2, "--reserve: not a size: ''", "such as 24GiB"),
        (f"{FIT} --assume zzz", 2, "--assume zzz: no such architecture", "such as llama"),
        (f"{FIT} --host-cold 4GiB", 2, "no such option: --host-cold", "budget fit --help"),
    ],
)  # fmt: skip
def test_options(line, code, message, hint):
    found, out, err = budget(line)
    assert (found, out) == (code, ""), err
    assert message in err
    assert hint in err
    assert "sample:" not in err.partition("\n")[2]


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        ("fit m.gguf -fa", "-fa needs a value", "write -fa auto|on|off"),
        ("fit m.gguf --format", "--format needs a value", "write --format table|plain|json|markdown|csv"),
        ("fit m.gguf --json=1", "--json takes no value", "see budget fit --help"),
        ("max-ctx a.gguf b.gguf", "one too many: b.gguf", "budget max-ctx takes one MODEL, in quotes"),
        ("hardware rtx 4090", "one too many: 4090", "budget hardware takes one FILTER, in quotes"),
        ("schema fit place", "one too many: place", "budget schema takes one NAME; see budget schema --help"),
        ("config x", "one too many: x", "budget config takes options only"),
        ("model.gguf", "no such command: model.gguf", "did you mean budget fit model.gguf?"),
        (
            "llama-server -m a",
            "no such command: llama-server",
            "did you mean budget fit -- llama-server ...?",
        ),
        ("--gpu 8GiB fit a", "no such option: --gpu", "options stand behind a command"),
        ("--gibberish", "no such option: --gibberish", "see budget --help"),
    ],
)
def test_lines(line, message, hint):
    code, out, err = budget(line)
    assert (code, out) == (2, ""), err
    assert f"budget: error: {message}\n  {hint}" in err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("-ngl99", "write -ngl 99"),
        ("-ctkq8_0", "write -ctk q8_0"),
        ("-ngld99", "write -ngld 99"),
        ("-c=8192", "write -c 8192"),
        ("-nlg", "did you mean -ngl"),
        ("-cmoex", "did you mean -cmoe"),
        ("-12", "see budget fit --help"),
    ],
)
def test_a_short_option_is_named_by_its_whole_word(word, hint):
    code, out, err = budget(f"{FIT} {word} 8")
    assert (code, out) == (2, "")
    assert f"no such option: {word}\n  {hint}" in err


def test_what_may_be_joined_is_read():
    assert budget(f"{FIT} -c8192") == budget(f"{FIT} -c 8192")
    assert budget(f"{FIT} -c 8k -ngl=8") == budget(f"{FIT} -c 8k -ngl 8")
    assert budget(f"{FIT} -c8k -qv")[1:] == ("", "")
    assert budget(f"{FIT} -c8k -ngl -1")[0] == 0


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("fit -m a.gguf", "the model stands without an option: budget fit model.gguf"),
        ("max-ctx --hf-repo a/b", "the model stands without an option: budget max-ctx hf://user/repo"),
        ("fit --ol-model a", "budget fit ollama://name:tag"),
        ("inspect --url a", "budget inspect https://..."),
        ("devices -m a", "see budget devices --help"),
        ("fit a --no-mmap", "budget fit -- llama-server -m model.gguf --no-mmap ..."),
        ("fit a -t 4", "budget fit -- llama-server -m model.gguf -t ..."),
        ("devices -t 4", "see budget devices --help"),
        ("fit a --platform-footprint 1", "did you mean --overhead?"),
        ("advise a --device-metric 1", "did you mean --bandwidth?"),
        ("fit a --skip-cache", "did you mean --no-cache?"),
    ],
)
def test_options_of_other_tools(line, hint):
    code, _, err = budget(line)
    assert code == 2
    assert "no such option: -" in err
    assert hint in err


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("BUDGET_RESERV", "1GiB", "BUDGET_RESERV: no such variable\n  did you mean BUDGET_RESERVE?"),
        ("BUDGET_UTILISATION", "0.9", "did you mean BUDGET_UTILIZATION?"),
        ("BUDGET_BUDGET", "foo", "BUDGET_BUDGET 'foo': not a size: 'foo'"),
        ("BUDGET_BUDGET", "CUDA7=1GiB", "BUDGET_BUDGET 'CUDA7=1GiB': no device 'CUDA7'"),
        ("BUDGET_UTILIZATION", "2", "BUDGET_UTILIZATION: 2: must be above 0 and at most 1"),
        ("BUDGET_ALIGN", "0", "BUDGET_ALIGN: 0: must be at least 1"),
    ],
)
def test_variables(variable, text, message):
    code, _, err = budget(FIT, **{variable: text})
    assert code == (5 if "no device" in message else 2)
    assert message in err
    assert "--budget" not in err
    assert "--utilization" not in err


@pytest.mark.parametrize(
    ("variable", "text"),
    [("BUDGET_SERVER", "a"), ("BUDGET_HOST", "b"), ("BUDGET_COLOR", "1"), ("BUDGET_RESERV", " ")],
)
def test_variables_of_other_programs_are_left_alone(variable, text):
    assert budget(f"{FIT} -c 8k", **{variable: text}) == budget(f"{FIT} -c 8k")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('budget = "foo"', "budget.toml: budget 'foo': not a size"),
        ("align = 0", "align: 0: must be at least 1"),
        ("ledger = 3", "ledger: 3 is no text"),
        ("reserve = 1.5", "reserve: 1.5 is no whole number"),
        ("floor = 1.5", "floor: 1.5 is no whole number"),
    ],
)
def test_files(text, message, tmp_path):
    path = tmp_path / "budget.toml"
    path.write_text(text, encoding="utf-8")
    code, _, err = budget(f"{FIT} --config {path}")
    assert code == 2
    assert message in err


@pytest.mark.parametrize(
    "text",
    ['budget = "8GiB"', "reserve = 1048576", "headroom = 0.1", "utilization = 0.9", "budget = 8589934592"],
)
def test_files_that_mean_something(text, tmp_path):
    path = tmp_path / "budget.toml"
    path.write_text(text, encoding="utf-8")
    assert budget(f"{FIT} --config {path} -c 4k")[0] == 0


@pytest.mark.parametrize(
    ("facts", "message", "hint"),
    [
        ({"general.architecture": "clip"}, "this is a multimodal projector, not a model", "with --mmproj"),
        ({"general.architecture": "controlvector"}, "this is a control vector", "with --control-vector"),
        (
            {"general.architecture": "llama", "general.type": "adapter"},
            "this is a LoRA adapter",
            "with --lora",
        ),
        ({"general.architecture": "llama"}, "metadata key llama.block_count is missing", "download"),
    ],
)
def test_a_file_that_is_no_model_is_named_with_what_it_is(facts, message, hint, tmp_path):
    path = tmp_path / "it.gguf"
    write_ghost(
        {"metadata": {k: ["str", v] for k, v in facts.items()}, "tensors": [["a.weight", [32], "F32"]]}, path
    )
    code, out, err = budget(f"fit {S} {path} {CARD}")
    assert (code, out) == (4, "")
    assert f"{path}: {message}" in err
    assert hint in err
