"""Settings as a line: short, and read back the same."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budget.runtime.command_line import parse_command_line
from budget.runtime.flags import flags_of
from budget.runtime.rendering import to_command_line
from budget.runtime.settings import CACHE_TYPES, Settings
from budget.runtime.values import SPEC_TYPES

SIZES = st.integers(0, 1 << 20).map(str)
LAYERS = st.sampled_from(["auto", "all", "-3"]) | st.integers(0, 200).map(str)
NAMES = st.text(string.ascii_letters + string.digits + ' .,"_-/', min_size=1)
PATTERNS = st.sampled_from([r"blk\.[0-9]+\.", "attn_k", "", r"\.ffn_(up|down)_exps"])
OVERRIDES = st.lists(
    st.tuples(PATTERNS, st.sampled_from(["CPU", "CUDA0"])).map("=".join), min_size=1, max_size=3
).map(",".join)
DEVICES = st.just("none") | st.lists(st.sampled_from(["CUDA0", "CUDA1", "RPC0[a:1]"]), min_size=1).map(
    ",".join
)
FEW = st.integers(0, 6).map(str)


def csv(names):
    return ",".join('"' + name.replace('"', '""') + '"' for name in names)


VALUES = {
    "n_ctx": SIZES, "kv_unified_per_slot": SIZES, "n_batch": st.integers(1, 4096).map(str), "n_ubatch": SIZES,
    "n_parallel": st.integers(1, 256).map(str) | st.just("-1"), "ctx_checkpoints": SIZES, "cache_ram_mib": SIZES,
    "flash_attn": st.sampled_from(["on", "off", "auto", "1"]), "type_k": st.sampled_from(CACHE_TYPES),
    "type_v": st.sampled_from(CACHE_TYPES), "draft_type_k": st.sampled_from(CACHE_TYPES),
    "draft_type_v": st.sampled_from(CACHE_TYPES), "pooling": st.sampled_from(["none", "mean", "rank"]),
    "mmproj": NAMES, "mmproj_url": NAMES.map("https://{}".format), "mmproj_device": st.sampled_from(["none", "CUDA1"]),
    "image_max_tokens": st.integers(-1, 4096).map(str), "rpc": st.just("a:1,b:2"),
    "load_mode": st.sampled_from(["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"]),
    "lazy_mode": st.sampled_from(["auto", "on", "off"]), "devices": DEVICES, "draft_devices": DEVICES,
    "override_tensor": OVERRIDES, "draft_override_tensor": OVERRIDES, "n_cpu_moe": FEW, "n_cpu_ffn": FEW,
    "draft_n_cpu_moe": FEW, "n_gpu_layers": LAYERS, "draft_n_gpu_layers": LAYERS,
    "split_mode": st.sampled_from(["none", "layer", "row", "tensor"]),
    "tensor_split": st.lists(st.floats(0.001, 1e9), min_size=1, max_size=15).map(lambda x: "/".join(map(repr, x))),
    "main_gpu": st.integers(-1, 15).map(str), "fit": st.sampled_from(["on", "off"]),
    "fit_target_mib": st.lists(SIZES, min_size=1, max_size=15).map(",".join), "fit_ctx": SIZES | st.just("-1"),
    "override_kv": st.lists(NAMES.map("k=str:{}".format), min_size=1, max_size=3).map(csv),
    "lora": st.lists(NAMES, min_size=1).map(csv), "control_vector": st.lists(NAMES, min_size=1).map(csv),
    "model_draft": NAMES, "model_draft_hf": st.sampled_from(["u/r", "u/r:Q4_0"]), "spec_draft_n_max": FEW,
    "spec_type": st.lists(st.sampled_from(SPEC_TYPES), min_size=1).map(",".join),
    "spec_ngram_mod_n_max": FEW, "spec_ngram_simple_size_m": st.integers(1, 9).map(str),
    "spec_ngram_map_k_size_m": st.integers(1, 9).map(str), "spec_ngram_map_k4v_size_m": st.integers(1, 9).map(str),
}  # fmt: skip


@st.composite
def lines(draw):
    """Lines of flags that change memory, any number, in any order."""
    tool = draw(st.sampled_from(["llama-server", "llama-cli"]))
    known = [f for f in flags_of(tool) if f.setting in VALUES or (f.setting and f.kind in "vb")]
    line = [tool]
    for flag in draw(st.lists(st.sampled_from(known), max_size=12)):
        line.append(draw(st.sampled_from(flag.spellings + flag.negated)))
        if flag.kind not in "vb":
            line.append(draw(VALUES[flag.setting]))
    return line


@settings(deadline=None)
@given(lines())
def test_settings_survive_the_way_to_a_line_and_back(line):
    parsed = parse_command_line(line, {}).settings
    assert parse_command_line(to_command_line(parsed), {}).settings == parsed


@settings(deadline=None)
@given(lines())
def test_a_line_that_spells_out_everything_means_the_same(line):
    parsed = parse_command_line(line, {}).settings
    spelled_out = to_command_line(parsed, explicit_only_changes=False)
    assert parse_command_line(spelled_out, {}).settings == parsed


@pytest.mark.parametrize(
    "model", ["a b.gguf", "https://x/a.gguf", "hf://u/r", "hf://u/r:Q8_0", "hf://u/r/d/a.gguf"]
)
def test_models_survive_as_well(model):
    assert parse_command_line(to_command_line(Settings(), model=model), {}).model == model


@pytest.mark.parametrize(
    ("changed", "keep", "line"),
    [
        pytest.param(Settings(), frozenset(), "", id="defaults-are-silent"),
        pytest.param(Settings(), frozenset({"n_batch"}), "-b 2048", id="kept"),
        pytest.param(Settings(n_ctx=32768, n_gpu_layers=99), frozenset(), "-c 32768 -ngl 99", id="numbers"),
        pytest.param(Settings(n_gpu_layers=-2), frozenset(), "-ngl all", id="words"),
        pytest.param(Settings(tensor_split=(3.0, 0.5)), frozenset(), "-ts 3,0.5", id="shares"),
        pytest.param(
            Settings(
                tensor_buft_overrides=tuple(
                    (rf"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps", "CPU") for i in range(3)
                )
            ),
            frozenset(),
            "-ncmoe 3",
            id="experts-are-one-flag",
        ),
        pytest.param(
            Settings(tensor_buft_overrides=((r"blk\.1\.ffn_(up|down|gate)\.", "CPU"),)),
            frozenset(),
            r"-ot blk\.1\.ffn_(up|down|gate)\.=CPU",
            id="not-the-first-layers",
        ),
        pytest.param(Settings(fit_ctx=-1), frozenset(), "-c 0", id="full-context"),
        pytest.param(
            Settings(kv_unified=False, offload_kqv=False), frozenset(), "-no-kvu -nkvo", id="switches"
        ),
    ],
)
def test_a_line_holds_what_differs_and_no_more(changed, keep, line):
    assert to_command_line(changed, keep=keep) == ["llama-server", *line.split()]
