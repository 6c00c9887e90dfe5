"""ECMAScript patterns: what matches, and what is refused."""

import warnings

import pytest

from budget.errors import UsageError
from budget.runtime.pattern import tensor_pattern

EXPS = "blk.12.ffn_up_exps.weight"


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        pytest.param(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps", EXPS, True, id="experts"),
        pytest.param(r"blk\.1\.", EXPS, False, id="layer-1-is-not-layer-12"),
        pytest.param(r"blk\.(1[0-9])\.ffn_.*", EXPS, True, id="range-of-layers"),
        pytest.param("exps", EXPS, True, id="search-anywhere"),
        pytest.param("^exps", EXPS, False, id="anchor"),
        pytest.param("weight$", EXPS, True, id="end"),
        pytest.param(r"blk\.\d+\.ffn", EXPS, True, id="digits"),
        pytest.param(r"blk\.[[:digit:]]+\.ffn", EXPS, True, id="posix-class"),
        pytest.param(r"blk\.(?!12)", EXPS, False, id="look-ahead"),
        pytest.param(r"blk\.\d{2}\.", EXPS, True, id="count"),
        pytest.param(r"blk\.\d{3,}\.", EXPS, False, id="open-count"),
        pytest.param(r"ffn\_up\-*", EXPS, True, id="escapes-of-ordinary-characters"),
        pytest.param(r"\eblk", EXPS, False, id="escaped-letter-e-is-e"),
        pytest.param("[+--]lk", ",lk", True, id="range-that-ends-in-a-dash"),
        pytest.param("[a-]lk", "-lk", True, id="dash-at-the-end"),
        pytest.param("[-b]lk", EXPS, True, id="dash-at-the-start"),
        pytest.param(r"\x62lk", EXPS, True, id="hexadecimal"),
        pytest.param("[]", EXPS, False, id="empty-class-matches-nothing"),
        pytest.param("[^]", EXPS, True, id="negated-empty-class-matches-all"),
        pytest.param("[[&&a]lk", "&lk", True, id="set-operators-are-plain-characters"),
        pytest.param("", EXPS, True, id="empty-pattern-matches-all"),
        pytest.param("}", "a}", True, id="lone-brace-closing"),
        pytest.param("(u)p_.*\\1", "up_u", True, id="back-reference"),
        pytest.param("b.*?k", EXPS, True, id="lazy"),
    ],
)
def test_patterns_match_as_in_llama_cpp(pattern, name, matches):
    assert bool(tensor_pattern(pattern).search(name)) is matches


@pytest.mark.parametrize(
    "pattern",
    ["(", ")", "[a", "a\\", "*", "a|*", "(+a)", "a{", "a{,3}", "a{2,1}", "{2}", "(?<=a)b", "(?P<n>a)", "(?i)a",
     "[z-a]", "a**", "[[:letter:]]", "[[.a.]]", r"\x1", r"\ulk", r"(a)\2", "^*", "(?"],
)  # fmt: skip
def test_what_is_no_pattern_is_refused_and_quoted(pattern):
    with pytest.raises(UsageError) as e:
        tensor_pattern(pattern)
    assert repr(pattern) in e.value.message


def test_no_pattern_makes_python_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor_pattern("[+--b&&c||d~~e[f]")
