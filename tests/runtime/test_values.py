"""Values that make no sense get a reason."""

import pytest

from budget.errors import UsageError
from budget.runtime.command_line import parse_settings
from budget.runtime.values import csv


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        pytest.param("-c -1", "must be 0 or more", id="negative-context"),
        pytest.param("-c 1.5", "not a whole number", id="fraction"),
        pytest.param("-c 1_000", "not a whole number", id="underscore"),
        pytest.param("-c \u0661", "not a whole number", id="digit-of-another-script"),
        pytest.param("-c 2147483648", "out of range", id="past-int32"),
        pytest.param("-c 99999999999999999999999999", "out of range", id="past-everything"),
        pytest.param("-b 0", "must be 1 or more", id="no-batch"),
        pytest.param("-b -5", "must be 1 or more", id="negative-batch"),
        pytest.param("-ub -1", "must be 0 or more", id="negative-ubatch"),
        pytest.param("-np 0", "at least one slot", id="no-slot"),
        pytest.param("-ngl most", "not a whole number", id="ngl-word"),
        pytest.param("-fa maybe", "no such choice", id="fa-word"),
        pytest.param("-fit -1", "neither on nor off", id="fit-has-no-auto"),
        pytest.param("-ctk q6_K", "no such choice", id="cache-type"),
        pytest.param("-ctv F16", "no such choice", id="cache-type-in-capitals"),
        pytest.param("-sm columns", "no such choice", id="split-mode"),
        pytest.param("-lm lazy", "no such choice", id="load-mode"),
        pytest.param("--pooling max", "no such choice", id="pooling"),
        pytest.param("-ts 0,0", "every share is 0", id="shares-of-zero"),
        pytest.param("-ts 1,-1", "negative", id="negative-share"),
        pytest.param("-ts nan,1", "'nan' is not a number", id="share-nan"),
        pytest.param("-ts inf", "'inf' is not a number", id="share-inf"),
        pytest.param("-ts 1e999", "not a number", id="share-overflow"),
        pytest.param("-ts a,b", "'a' is not a number", id="share-word"),
        pytest.param("-ts ,1", "'' is not a number", id="empty-first-share"),
        pytest.param("-ts " + ",".join("1" * 16), "at most 15", id="sixteen-shares"),
        pytest.param("-mg first", "not a whole number", id="main-gpu"),
        pytest.param("-ot exps", "no PATTERN=BUFFER", id="override-without-buffer"),
        pytest.param("-ot exps=", "no PATTERN=BUFFER", id="override-with-empty-buffer"),
        pytest.param("-ot (a=CPU", "regular expression", id="override-with-open-group"),
        pytest.param("-ot blk.{1,2}=CPU", "no PATTERN=BUFFER", id="commas-cut-patterns"),
        pytest.param("-otd *=CPU", "regular expression", id="draft-override"),
        pytest.param("-ncmoe -1", "must be 0 or more", id="negative-layers"),
        pytest.param("-dev CUDA0,,CUDA1", "empty", id="device-without-name"),
        pytest.param("-mmdev CUDA0,CUDA1", "one device", id="two-projector-devices"),
        pytest.param("--rpc host", "HOST:PORT", id="rpc-without-port"),
        pytest.param("--rpc host:port", "HOST:PORT", id="rpc-word"),
        pytest.param("--rpc host:70000", "HOST:PORT", id="rpc-port-too-large"),
        pytest.param("--lora-scaled a.gguf", "FILE:SCALE", id="no-scale"),
        pytest.param("--lora-scaled a.gguf:big", "'big' is not a number", id="scale-word"),
        pytest.param("--lora a,,b", "empty", id="file-without-name"),
        pytest.param("--override-kv a=int", "KEY=TYPE:VALUE", id="kv-without-value"),
        pytest.param("--override-kv a=long:1", "KEY=TYPE:VALUE", id="kv-type"),
        pytest.param("--override-kv a=bool:1", "true or false", id="kv-bool"),
        pytest.param("--override-kv a=str:" + "x" * 128, "127 bytes", id="kv-text-too-long"),
        pytest.param("--spec-type draft-mtp,telepathy", "no such choice", id="speculation"),
        pytest.param("--spec-draft-n-max -1", "must be 0 or more", id="negative-draft"),
        pytest.param("--spec-ngram-mod-n-max 1025", "must be 0 to 1024", id="ngram-too-long"),
        pytest.param("-fitt 1,-1", "negative", id="negative-margin"),
        pytest.param("-fitt 1GiB", "not a whole number", id="margin-with-unit"),
    ],
)
def test_a_bad_value_is_refused_with_its_reason_and_its_flag(words, reason):
    flag, value = words.split(" ", 1)
    with pytest.raises(UsageError) as e:
        parse_settings([flag, value])
    assert reason in e.value.message
    assert flag in e.value.message


@pytest.mark.parametrize("text", ["0", "007", " 7", "+7"])
def test_numbers_are_read_as_stoi_does(text):
    assert parse_settings(["-c", text])[0].n_ctx == int(text)


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a,b", ["a", "b"]),
        ('"a,b",c', ["a,b", "c"]),
        ('"a ""b""",c', ['a "b"', "c"]),
        ('a"b,c', ['a"b', "c"]),
        ("", [""]),
        ("a,", ["a", ""]),
    ],
)
def test_quotes_keep_commas_inside_an_item(text, items):
    assert csv(text) == items
