"""Several models, a ledger, room to make, a request, a profile, and options: through the command."""

from __future__ import annotations

import json

import pytest

from budget.schema import SCHEMAS

SAMPLE = "sample:llama-3.1-8b"
CARD = ("--gpu", "24GiB", "--ram", "64GiB")


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_two_models_share_a_card(run):
    code, out, _ = run("fit", SAMPLE, SAMPLE, *CARD, "-c", "8k", "--json")
    data = json.loads(out)
    assert code == 0
    claims = [
        {d["device"]: d["required_bytes"] for d in data["usage"]},
        *({d["name"]: d["required_bytes"] for d in m["devices"]} for m in data["models"]),
    ]
    assert claims[0]["CUDA0"] == claims[1]["CUDA0"] + claims[2]["CUDA0"]


def test_each_of_several_models_has_its_own_settings(run):
    other = "sample:qwen3-30b-a3b"
    code, out, _ = run("fit", SAMPLE, other, *CARD, "-c", "8k", "--for", other, "-ngl 0 -c 4096", "--json")
    first, second = json.loads(out)["models"]
    assert code == 0
    assert first["devices"][0]["weights_bytes"] > 0
    assert second["devices"][0]["weights_bytes"] == 0


def test_a_device_that_only_a_later_model_uses_has_its_column(run):
    cards = ("--gpu", "24GiB", "--gpu", "24GiB", "--ram", "64GiB")
    asked = ("fit", SAMPLE, "sample:qwen3-30b-a3b", *cards, "-c", "4k", "--for", SAMPLE, "-dev CUDA1")
    heads, first, second, together = run(*asked)[1].splitlines()[2:6]
    assert heads.split() == ["model", "verdict", "CUDA0", "CUDA1", "CPU"]
    assert first.split()[2:4] == ["0", "B"]
    assert second.split()[2] == together.split()[2] != "0"


SHORT = "--override-kv llama.context_length=int:4096"


def test_metadata_is_replaced_for_one_of_several_models(run):
    def n_ctx(*arguments):
        _, out, err = run("fit", SAMPLE, *CARD, "--json", *arguments)
        assert not err
        return [d["context_bytes"] for m in json.loads(out)["models"] for d in m["devices"]]

    assert n_ctx("--for", SAMPLE, SHORT) == n_ctx("--for", SAMPLE, "-c 4096")
    assert n_ctx("--for", SAMPLE, SHORT) == n_ctx(*SHORT.split(), "--for", SAMPLE, "-ngl 99")


def test_settings_of_one_model_come_behind_those_of_a_line(run):
    def plan(*arguments):
        return json.loads(run("fit", SAMPLE, *CARD, "--json", *arguments)[1])["models"]

    assert plan("--for", SAMPLE, "-c 4k", "--", "llama-server", "-ngl", "0") == plan(
        "--for", SAMPLE, "-c 4096 -ngl 0"
    )


def test_settings_for_a_model_that_is_not_asked_about(run):
    code, _, err = run("fit", SAMPLE, *CARD, "--for", "b.gguf", "-c 8192")
    assert (code, "b.gguf" in err, SAMPLE in err) == (2, True, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--for", "", "-c 4k"), "it names no model", id="an empty name"),
        pytest.param(("--for", SAMPLE), "no flags", id="no flags"),
        pytest.param(("--for", SAMPLE, ""), "no flags", id="empty flags"),
        pytest.param(("--for", SAMPLE, "-c 4k", "--for", SAMPLE, "-ngl 8"), "is given twice", id="twice"),
        pytest.param(("--for", SAMPLE, "-m b.gguf"), "another model: b.gguf", id="another model"),
        pytest.param(("--for", SAMPLE, "--rpc 10.0.0.1:50052"), "put it before --for", id="servers of one model"),
        pytest.param(("--for", "https://h/m.gguf?a=b=", "-c 4k"), "--for https://h/m.gguf?a=b=: not", id="address"),
    ],
)  # fmt: skip
def test_settings_of_one_model_that_make_no_sense(run, words, message):
    code, out, err = run("fit", SAMPLE, SAMPLE, *CARD, *words)
    assert (code, out) == (2, "")
    assert message in err


def test_a_model_named_twice_is_loaded_twice_with_the_same_settings(run):
    def required(*arguments):
        data = json.loads(run("fit", SAMPLE, *CARD, "--json", *arguments)[1])
        return [[d["required_bytes"] for d in m["devices"]] for m in data.get("models", [data])]

    assert required(SAMPLE, "--for", SAMPLE, "-c 4k") == required("-c", "4k") * 2


def test_a_model_that_drafts_for_itself_is_loaded_twice(run):
    def weights(*arguments):
        devices = json.loads(run("fit", SAMPLE, *CARD, "-c", "4k", "--json", *arguments)[1])
        extras = [e["size_bytes"] for e in devices.get("extras", []) if e["kind"] == "weights"]
        return sum(d["weights_bytes"] for d in devices["devices"]), sum(extras)

    alone, _ = weights()
    assert weights("-md", SAMPLE) == (alone, alone)


@pytest.mark.parametrize("flag", ["--mmproj", "--lora"])
def test_a_model_that_is_named_as_what_goes_beside_it(run, flag):
    code, out, err = run("fit", SAMPLE, *CARD, flag, SAMPLE)
    assert (code, out) == (4, "")
    assert f"{flag} {SAMPLE}: " in err


def test_the_ledger_fills_until_a_model_is_refused_and_eviction_names_whom(run, tmp_path):
    ledger = tmp_path / "ledger.json"
    ask = ("fit", SAMPLE, *CARD, "--ledger", ledger, "-c", "32k")
    codes = [run(*ask, "--admit", "--name", name)[0] for name in ("a", "b", "c")]
    assert codes == [0, 0, 3]
    assert run(*ask)[0] == 3
    assert run(*ask, "--replace", "a")[0] == 0
    code, out, _ = run(*ask, "--evict", "--json")
    data = json.loads(out)
    assert code == 0
    assert len(data["evict"]) == 1
    assert SCHEMAS["evict"].model_validate(data).model_dump(by_alias=True) == data


def test_a_ledger_that_cannot_be_read_is_left_alone(run, tmp_path):
    ledger = tmp_path / "ledger.json"
    ledger.write_text("{broken")
    code, _, err = run("fit", SAMPLE, *CARD, "--ledger", ledger, "--admit", "-c", "8k")
    assert (code, str(ledger) in err, ledger.read_text()) == (2, True, "{broken")


def test_a_resident_takes_what_it_claims(run):
    asked = ("max-ctx", SAMPLE, *CARD)
    alone = int(run(*asked)[1])
    beside = int(run(*asked, "--resident", "chat=CUDA0:12GiB")[1])
    assert 0 < beside < alone
    code, _, err = run(*asked, "--resident", "chat=CUDA7:12GiB")
    assert (code in (2, 5), "CUDA7" in err) == (True, True)


def test_a_limit_from_the_environment_and_a_flag_over_it(run, monkeypatch):
    monkeypatch.setenv("BUDGET_MAX_RESIDENT", "8GiB")
    asked = ("max-ctx", SAMPLE, *CARD)
    by_environment, by_flag = (int(run(*asked, *more)[1]) for more in ((), ("--max-resident", "16GiB")))
    assert 0 < by_environment < by_flag
    assert "BUDGET_MAX_RESIDENT" in run("config")[1]


@pytest.mark.parametrize(
    ("used", "completion", "code", "granted"),
    [(5000, 4000, 0, 3192), (100, 50, 0, 50), (9000, 10, 3, 0)],
)
def test_a_request_gets_what_is_left(run, used, completion, code, granted):
    answer = run("request", "--used", used, "--completion", completion, "--capacity", 8192, "--json")
    assert (answer[0], json.loads(answer[1])["n_completion"]) == (code, granted)


def test_the_capacity_of_a_request_is_what_the_model_gets(run):
    n_ctx = int(run("max-ctx", SAMPLE, *CARD, "-np", "1")[1])
    _, out, _ = run("request", SAMPLE, *CARD, "-np", "1", "--used", "10", "--json")
    assert json.loads(out)["n_capacity"] == n_ctx


def test_the_profile_says_what_the_plan_says(run):
    _, out, _ = run("inspect", SAMPLE, "--profile", *CARD, "--json")
    profile = json.loads(out)
    _, out, _ = run("fit", SAMPLE, *CARD, "-c", "16k", "--json")
    plan = {d["name"]: d["required_bytes"] for d in json.loads(out)["devices"]}
    for device in profile["devices"]:
        (part,) = (r for r in device["ranges"] if r["first_n_ctx"] < 16384 <= r["last_n_ctx"])
        assert part["fixed_bytes"] + part["bytes_per_token"] * 16384 == plan[device["name"]]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fleet", ("fit", SAMPLE, SAMPLE, *CARD)),
        ("admission", ("fit", SAMPLE, *CARD, "--admit", "--ledger", "{tmp}/ledger.json")),
        ("request", ("request", "--used", "9", "--capacity", "8")),
        ("profile", ("inspect", SAMPLE, "--profile", *CARD)),
        ("config", ("config",)),
        ("hardware", ("hardware", "rtx 4090")),
        ("scan", ("scan", "{tmp}", *CARD)),
        ("cache", ("cache",)),
        ("machine", ("devices", "--gpu", "24GiB", "--ram", "64GiB")),
        ("fit", ("fit", "--params", "8.2B", "--bpw", "4.85", "--layers", "36", "--kv-heads", "8",
                 "--head-dim", "128", "-c", "8k", *CARD)),
    ],
)  # fmt: skip
def test_json_is_what_its_schema_says(run, tmp_path, name, arguments):
    _, out, err = run(*(a.replace("{tmp}", str(tmp_path)) for a in arguments), "--json")
    data = json.loads(out)
    assert (data["schema"], err) == (f"budget/{name}/v1", "")
    assert SCHEMAS[name].model_validate(data).model_dump(by_alias=True, exclude_unset=True) == data


SMALL = (SAMPLE, "--gpu", "12GiB", "--ram", "64GiB", "-ngl", "99")


def test_a_context_chosen_to_use_part_of_the_budget(run):
    all_of_it = int(run("max-ctx", *SMALL)[1])
    most = int(run("max-ctx", *SMALL, "--utilization", "80%")[1])
    aligned = int(run("max-ctx", *SMALL, "--utilization", "0.8", "--align", "4k")[1])
    assert aligned <= most < all_of_it
    assert aligned % 4096 == 0
    assert most - aligned < 4096


def test_a_floor_is_kept_where_it_fits_and_refused_where_it_does_not(run):
    assert run("max-ctx", *SMALL, "--utilization", "0.1", "--floor", "8k")[:2] == (0, "8192\n")
    code, out, err = run("max-ctx", *SMALL, "--floor", "128k")
    assert (code, out, "no context of 131,072 tokens or more fits" in err) == (3, "", True)


def test_the_window_names_its_limit(run):
    _, out, _ = run("max-ctx", *SMALL, "--json", "--max-resident", "8GiB", "--host-cold", "4GiB")
    answer = json.loads(out)
    window = answer["capacity"]
    assert SCHEMAS["max-ctx"].model_validate(answer).model_dump(by_alias=True) == answer
    assert (answer["bound_by"], window["reason"], window["clamped"]) == ("hardware", "max_resident", True)
    assert window["n_ctx"] == window["n_ctx_hot"] == answer["max_ctx"]
    assert window["n_ctx_planner"] == window["n_ctx_hot"] + window["n_ctx_cold"]
    # 32 layers, 8 K/V heads of 128, f16 for K and for V
    assert window["n_ctx_cold"] == (4 << 30) // (32 * 8 * 128 * 2 * 2)
