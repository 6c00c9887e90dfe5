"""llama-server and llama-cli lines, with their environment, to settings."""

import pytest

from budget.errors import UsageError
from budget.runtime.command_line import parse_command_line, parse_settings
from budget.runtime.settings import Settings

EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
DENSE = r"\.ffn_(up|down|gate)\."


def parse(line, env=None, tool="llama-server"):
    return parse_command_line([tool, *line.split()], env or {})


def changed(settings):
    default = Settings(tool=settings.tool)
    return {
        name: getattr(settings, name)
        for name in Settings.__dataclass_fields__
        if getattr(settings, name) != getattr(default, name)
    }


def test_a_bare_line_has_the_tools_defaults():
    line = parse("")
    assert (line.tool, line.model, line.settings, line.explicit) == (
        "llama-server",
        None,
        Settings(),
        frozenset(),
    )


@pytest.mark.parametrize(
    ("argv", "tool", "n_ctx"),
    [
        (["llama-server", "-c", "1"], "llama-server", 1),
        (["llama-cli", "-c", "2"], "llama-cli", 2),
        (["./build/bin/llama-server", "-c", "3"], "llama-server", 3),
        ([r"C:\llama\llama-server.exe", "-c", "4"], "llama-server", 4),
        ([r"C:\llama\llama-cli.EXE", "-c", "5"], "llama-cli", 5),
        (["llama", "serve", "-c", "6"], "llama-server", 6),
        (["/usr/bin/llama", "cli", "-c", "7"], "llama-cli", 7),
    ],
)
def test_the_program_may_be_written_in_many_ways(argv, tool, n_ctx):
    line = parse_command_line(argv, {})
    assert (line.tool, line.settings.tool, line.settings.n_ctx) == (tool, tool, n_ctx)


@pytest.mark.parametrize("argv", [[], ["ollama", "run"], ["llama"], ["llama", "bench"], ["-m", "m.gguf"]])
def test_another_program_is_refused_with_a_hint(argv):
    with pytest.raises(UsageError) as e:
        parse_command_line(argv, {})
    assert "llama-server" in e.value.hint


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("-c 8192", {"n_ctx": 8192}, id="c"),
        pytest.param("--ctx-size 8192", {"n_ctx": 8192}, id="long"),
        pytest.param("--ctx_size 8192", {"n_ctx": 8192}, id="underscores"),
        pytest.param("-c 1 -c 2", {"n_ctx": 2}, id="last-wins"),
        pytest.param("-c 0", {"fit_ctx": -1}, id="full-context-that-fit-keeps"),
        pytest.param("-c 0 -fitc 512", {"fit_ctx": 512}, id="fitc-after-c-0"),
        pytest.param("-b 1024 -ub 256", {"n_batch": 1024, "n_ubatch": 256}, id="batches"),
        pytest.param("-ub 0", {"n_ubatch": 0}, id="ubatch-0-is-the-batch"),
        pytest.param("-np 2", {"n_parallel": 2}, id="slots"),
        pytest.param("-np -7", {}, id="negative-slots-are-auto"),
        pytest.param("-kvu", {"kv_unified": True}, id="unified"),
        pytest.param("--no-kv-unified", {"kv_unified": False}, id="not-unified"),
        pytest.param("-ngl all", {"n_gpu_layers": -2}, id="ngl-all"),
        pytest.param("-ngl auto", {}, id="ngl-auto"),
        pytest.param("--gpu-layers 0", {"n_gpu_layers": 0}, id="ngl-0"),
        pytest.param("-ngl -5", {"n_gpu_layers": -2}, id="below-minus-2-is-all"),
        pytest.param("-fa 1", {"flash_attn": "on"}, id="fa-1"),
        pytest.param("-fa enabled", {"flash_attn": "on"}, id="fa-enabled"),
        pytest.param("-fa disabled", {"flash_attn": "off"}, id="fa-disabled"),
        pytest.param("-fa on -fa -1", {}, id="fa-minus-1-is-auto"),
        pytest.param("-ctk q8_0 -ctv iq4_nl", {"type_k": "q8_0", "type_v": "iq4_nl"}, id="cache-types"),
        pytest.param("-ts 3,1", {"tensor_split": (3.0, 1.0)}, id="ts"),
        pytest.param("-ts 3/1", {"tensor_split": (3.0, 1.0)}, id="ts-slash"),
        pytest.param("-ts 3,/1,", {"tensor_split": (3.0, 1.0)}, id="ts-as-the-token-iterator-splits"),
        pytest.param("-ts 0,.5", {"tensor_split": (0.0, 0.5)}, id="ts-with-a-zero"),
        pytest.param("-sm none -mg -1", {"split_mode": "none", "main_gpu": -1}, id="no-gpu-by-mg"),
        pytest.param("-dev none", {"devices": ()}, id="no-device"),
        pytest.param("-dev CUDA1,CUDA0", {"devices": ("CUDA1", "CUDA0")}, id="devices-in-order"),
        pytest.param("-nkvo -nr --no-host --no-op-offload",
                     {"offload_kqv": False, "repack": False, "no_host": True, "op_offload": False}, id="switches"),
        pytest.param("-lm mmap+mlock", {"load_mode": "mmap+mlock"}, id="load-mode"),
        pytest.param("--no-mmap", {"load_mode": "none"}, id="older-no-mmap"),
        pytest.param("--mlock", {"load_mode": "mmap+mlock"}, id="older-mlock-kept-mmap"),
        pytest.param("--mlock --no-mmap", {"load_mode": "mlock"}, id="older-both"),
        pytest.param("--no-mmap --mlock", {"load_mode": "mlock"}, id="older-both-turned-round"),
        pytest.param("-dio", {"load_mode": "dio"}, id="older-direct-io"),
        pytest.param("--embedding", {"embedding": True}, id="embedding"),
        pytest.param("--reranking", {"embedding": True, "pooling": "rank"}, id="reranking"),
        pytest.param("-mm p.gguf", {"mmproj": "p.gguf"}, id="projector"),
        pytest.param("-mmu https://x/p.gguf -mm p.gguf", {"mmproj": "https://x/p.gguf"}, id="projector-address-wins"),
        pytest.param("--no-mmproj", {"mmproj_auto": False}, id="no-automatic-projector"),
        pytest.param("-mmdev none", {"mmproj_offload": False}, id="projector-on-the-cpu"),
        pytest.param("--no-mmproj-offload -mmdev CUDA1", {"mmproj_device": "CUDA1"}, id="mmdev-turns-it-on-again"),
        pytest.param("--lora a,b --lora-scaled c:0.5", {"lora": ("a", "b", "c")}, id="adapters"),
        pytest.param("--control-vector v", {"control_vector": ("v",)}, id="control-vector"),
        pytest.param("-cram -2 -ctxcp -1", {"cache_ram_mib": -1, "ctx_checkpoints": 0}, id="below-their-least"),
        pytest.param("-fit off -fitt 512,2048", {"fit": False, "fit_target_mib": (512, 2048)}, id="fit"),
        pytest.param("--override-kv a.b=int:3,c=bool:true",
                     {"override_kv": (("a.b", "int:3"), ("c", "bool:true"))}, id="override-kv"),
        pytest.param("--rpc h:50052,[::1]:1", {"rpc": ("h:50052", "[::1]:1")}, id="rpc"),
        pytest.param("--control-vector-layer-range 3 9 -c 64", {"n_ctx": 64}, id="two-values"),
        pytest.param("-md d.gguf -ngld 5 -devd CUDA1 -ctkd q8_0 -cmoed",
                     {"model_draft": "d.gguf", "draft_n_gpu_layers": 5, "draft_devices": ("CUDA1",),
                      "draft_type_k": "q8_0", "draft_tensor_buft_overrides": ((EXPERTS, "CPU"),)}, id="draft"),
        pytest.param("-hfd u/r -md f.gguf", {"model_draft": "hf://u/r/f.gguf"}, id="draft-file-of-a-repository"),
        pytest.param("--spec-type draft-mtp", {"spec_type": ("draft-mtp",), "load_mtp": True, "n_rs_seq": 3}, id="mtp"),
        pytest.param("--spec-type draft-eagle3 --spec-draft-n-max 8",
                     {"spec_type": ("draft-eagle3",), "spec_draft_n_max": 8, "n_rs_seq": 8}, id="rollback-states"),
        pytest.param("--spec-type draft-simple", {"spec_type": ("draft-simple",)}, id="draft-without-rollback"),
        pytest.param("--spec-type draft-mtp,none,ngram-mod", {}, id="none-empties-its-list"),
        pytest.param("--spec-type ngram-mod --spec-type draft-mtp",
                     {"spec_type": ("ngram-mod", "draft-mtp"), "load_mtp": True, "n_rs_seq": 3}, id="types-add-up"),
        pytest.param("--spec-default", {"spec_type": ("ngram-mod",)}, id="spec-default"),
        pytest.param("--gpt-oss-20b-default",
                     {"n_batch": 32768, "n_ubatch": 2048, "n_parallel": 2, "n_ctx": 262144}, id="preset"),
    ],
)  # fmt: skip
def test_a_flag_sets_what_llama_cpp_sets(line, expected):
    assert changed(parse(line).settings) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param("-cmoe", [(EXPERTS, "CPU")], id="all-experts"),
        pytest.param("-ncmoe 2", [(rf"blk\.0{EXPERTS}", "CPU"), (rf"blk\.1{EXPERTS}", "CPU")], id="first-experts"),
        pytest.param("-ncffn 1", [(rf"blk\.0{DENSE}", "CPU")], id="first-dense"),
        pytest.param("-ncmoe 0", [], id="none"),
        pytest.param("-ot a=CPU,b=CUDA1", [("a", "CPU"), ("b", "CUDA1")], id="two-in-one"),
        pytest.param("-ot a=b=CPU", [("a", "b=CPU")], id="first-equals-sign-ends-the-pattern"),
        pytest.param("-cmoe -ot a=CUDA0 -ncmoe 1", [(EXPERTS, "CPU"), ("a", "CUDA0"), (rf"blk\.0{EXPERTS}", "CPU")],
                     id="in-the-order-written"),
    ],
)  # fmt: skip
def test_overrides_are_pushed_in_llama_cpps_order(line, expected):
    assert parse(line).settings.tensor_buft_overrides == tuple(expected)


@pytest.mark.parametrize(
    ("env", "line", "expected"),
    [
        pytest.param({"LLAMA_ARG_CTX_SIZE": "64"}, "", {"n_ctx": 64}, id="variable"),
        pytest.param({"LLAMA_ARG_CTX_SIZE": "64"}, "-c 128", {"n_ctx": 128}, id="flag-beats-variable"),
        pytest.param({"LLAMA_ARG_KV_OFFLOAD": "0"}, "", {"offload_kqv": False}, id="switch-off"),
        pytest.param({"LLAMA_ARG_KV_OFFLOAD": "enabled"}, "", {}, id="switch-on"),
        pytest.param({"LLAMA_ARG_NO_KV_OFFLOAD": "0"}, "", {"offload_kqv": False}, id="negated-name-whatever-value"),
        pytest.param({"LLAMA_ARG_NO_KV_OFFLOAD": "", "LLAMA_ARG_KV_OFFLOAD": "1"}, "", {"offload_kqv": False},
                     id="negated-name-beats-the-other"),
        pytest.param({"LLAMA_ARG_SWA_FULL": "no"}, "", {}, id="flag-without-value-needs-a-true-word"),
        pytest.param({"LLAMA_ARG_SWA_FULL": "on"}, "", {"swa_full": True}, id="flag-without-value-on"),
        pytest.param({"LLAMA_ARG_NO_SWA_FULL": "1"}, "", {}, id="only-switches-have-negated-names"),
        pytest.param({"LLAMA_ARG_CPU_MOE": "1"}, "-ot a=CUDA0",
                     {"tensor_buft_overrides": ((EXPERTS, "CPU"), ("a", "CUDA0"))}, id="variables-come-first"),
        pytest.param({"LLAMA_ARG_CPU_MOE": "1", "LLAMA_ARG_OVERRIDE_TENSOR": "a=CUDA0"}, "",
                     {"tensor_buft_overrides": (("a", "CUDA0"), (EXPERTS, "CPU"))}, id="variables-in-table-order"),
        pytest.param({"LLAMA_ARG_MODELS_PRESET": "x.ini", "HOME": "/root"}, "", {}, id="variables-of-no-effect"),
        pytest.param({"LLAMA_ARG_MMAP": "0"}, "", {}, id="variables-that-llama-cpp-dropped"),
    ],
)  # fmt: skip
def test_environment_counts_as_in_llama_cpp(env, line, expected):
    assert changed(parse(line, env).settings) == expected


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("-m a.gguf", "a.gguf"),
        ("-mu https://x/a.gguf -m a.gguf", "https://x/a.gguf"),
        ("-hf u/r", "hf://u/r"),
        ("-hf u/r:Q8_0 -m a.gguf", "hf://u/r:Q8_0"),
        ("-hf u/r:Q8_0 -hff sub/a.gguf", "hf://u/r/sub/a.gguf"),
        ("-hff a.gguf", None),
        ("--fim-qwen-3b-default", "hf://ggml-org/Qwen2.5-Coder-3B-Q8_0-GGUF/qwen2.5-coder-3b-q8_0.gguf"),
    ],
)
def test_the_model_is_the_one_that_llama_cpp_loads(line, model):
    assert parse(line).model == model


def test_model_variables_count_as_well():
    assert parse("", {"LLAMA_ARG_HF_REPO": "u/r", "LLAMA_ARG_MODEL": "a.gguf"}).model == "hf://u/r"


def test_explicit_names_what_the_user_set_even_to_the_default():
    line = parse("-c 0 -b 2048 -mm p.gguf", {"LLAMA_ARG_N_GPU_LAYERS": "auto"})
    assert line.explicit == {"n_ctx", "n_batch", "mmproj", "n_gpu_layers"}


def test_flags_that_cannot_change_memory_are_accepted_and_named():
    line = parse("--port 8080 --temp 0.7 --jinja -t 8 --no-warmup -c 64 --api-key secret")
    assert line.ignored == ("--port", "--temp", "--jinja", "-t", "--no-warmup", "--api-key")
    assert changed(line.settings) == {"n_ctx": 64}


def test_llama_cli_has_one_slot_and_its_own_flags():
    line = parse("-p hello -np 0 --single-turn", tool="llama-cli")
    assert (line.settings.n_parallel, line.ignored) == (1, ("-p", "--single-turn"))


def test_llama_cli_with_negative_slots_gets_the_servers_four_in_one_cache():
    assert changed(parse("-np -1", tool="llama-cli").settings) == {"n_parallel": 4, "kv_unified": True}


@pytest.mark.parametrize(
    ("line", "tool", "message", "hint"),
    [
        ("--ctx-sizes 3", "llama-server", "no flag --ctx-sizes", "--ctx-size"),
        ("--embedding", "llama-cli", "llama-cli has no flag --embedding", None),
        ("-p hello", "llama-server", "no flag -p", None),
        ("--ctx-size=3", "llama-server", "no flag --ctx-size=3", "two words"),
        ("model.gguf", "llama-server", "'model.gguf'", "-m"),
        ("-c", "llama-server", "-c needs a value", None),
        ("--control-vector-layer-range 3", "llama-server", "needs a value", None),
        ("--draft-max 8", "llama-server", "--draft-max", "--spec-draft-n-max"),
        ("--models-preset m.ini", "llama-server", "--models-preset: not supported", "-m"),
        ("-dr gemma3", "llama-server", "not supported", "-hf"),
    ],
)
def test_what_llama_cpp_does_not_take_is_named(line, tool, message, hint):
    with pytest.raises(UsageError) as e:
        parse(line, tool=tool)
    assert message in e.value.message
    assert hint is None or hint in e.value.hint


def test_a_bad_variable_is_named():
    with pytest.raises(UsageError, match="LLAMA_ARG_CTX_SIZE many: not a whole number"):
        parse("", {"LLAMA_ARG_CTX_SIZE": "many"})
    with pytest.raises(UsageError, match="LLAMA_ARG_REPACK perhaps: neither on nor off"):
        parse("", {"LLAMA_ARG_REPACK": "perhaps"})


def test_budgets_own_options_take_counts_with_a_suffix_and_llama_lines_do_not():
    settings, explicit = parse_settings(["-c", "32k"], suffixes=True)
    assert (settings.n_ctx, explicit) == (32768, {"n_ctx"})
    with pytest.raises(UsageError) as e:
        parse("-c 32k")
    assert e.value.hint == "llama.cpp would read this as 32"


def test_settings_of_options_read_the_environment_only_when_given():
    assert parse_settings([])[0] == Settings()
    assert parse_settings([], tool="llama-cli", env={"LLAMA_ARG_CTX_SIZE": "8"})[0].n_ctx == 8


@pytest.mark.parametrize("tool", ["llama-server", "llama-cli"])
def test_no_flags_at_all_are_the_plain_settings(tool):
    assert parse_settings([], tool=tool) == (Settings(tool=tool), frozenset())
