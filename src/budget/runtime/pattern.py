"""Regular expressions as llama.cpp reads them (std::regex, ECMAScript), as Python ones.

The dialects differ: ECMAScript has no look-behind, no named groups and no inline flags; an escaped letter that
means nothing is that letter; `{` must be a count; `[]` is empty; `[[:alpha:]]` is a class; `$` is the very end.

Source: ECMA-262 as changed by the C++ standard [re.grammar]; libstdc++, regex_scanner.tcc and regex_compiler.tcc.
"""

from __future__ import annotations

import re
from functools import cache

from budget.errors import UsageError

_POSIX = {
    "alnum": "A-Za-z0-9", "alpha": "A-Za-z", "blank": r" \t", "cntrl": r"\x00-\x1f\x7f", "d": "0-9", "digit": "0-9",
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "s": r"\s", "space": r"\s",
    "upper": "A-Z", "w": r"\w", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_COUNT = r"\{[0-9]+(,[0-9]*)?\}"
_HEX_DIGITS = {"x": 2, "u": 4}


class _Translator:
    """One pattern, read once from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.last = "start"
        """What a quantifier would repeat: `start` (nothing), `atom`, or `quantifier`."""

    def take(self, n: int = 1) -> str:
        text = self.pattern[self.at : self.at + n]
        if len(text) < n:
            raise ValueError("it ends too early")
        self.at += n
        return text

    def translate(self) -> str:
        out = []
        while self.at < len(self.pattern):
            out.append(self.token())
        return "".join(out)

    def token(self) -> str:
        c = self.take()
        if c in "*+?{":
            return self.quantifier(c)
        self.last = "atom"
        if c == "\\":
            return self.escape()
        if c == "[":
            return self.bracket()
        if c == "(":
            return self.group()
        if c in "|^$":
            self.last = "start"
        return r"\Z" if c == "$" else c if c in "|^)." else re.escape(c)

    def quantifier(self, c: str) -> str:
        if c == "?" and self.last == "quantifier":
            self.last = "lazy"
            return c
        if self.last != "atom":
            raise ValueError(f"nothing to repeat before {c!r} at position {self.at - 1}")
        self.last = "quantifier"
        if c != "{":
            return c
        count = re.match(_COUNT, self.pattern[self.at - 1 :])
        if count is None:
            raise ValueError(f"'{{' at position {self.at - 1} starts no count such as {{2}}")
        self.at += count.end() - 1
        return count[0]

    def group(self) -> str:
        self.last = "start"
        if not self.pattern.startswith("?", self.at):
            return "("
        kind = self.take(2)
        if kind not in ("?:", "?=", "?!"):
            raise ValueError(f"'({kind}' at position {self.at - 3} does not exist in ECMAScript")
        return f"({kind}"

    def escape(self, *, in_bracket: bool = False) -> str:
        c = self.take()
        if c in "dDwWsSfnrtv":
            return f"\\{c}"
        if c in "bB" and not in_bracket:
            self.last = "start"
            return f"\\{c}"
        if c == "b":
            return r"\x08"
        if c in _HEX_DIGITS:
            digits = self.take(_HEX_DIGITS[c])
            return re.escape(chr(int(digits, 16)))
        if c == "c":
            return re.escape(chr(ord(self.take()) % 32))
        if c == "0":
            return r"\x00"
        if c.isdigit() and not in_bracket:
            while self.at < len(self.pattern) and self.pattern[self.at].isdigit():
                c += self.take()
            return f"(?:\\{c})"
        return re.escape(c)

    def bracket(self) -> str:
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        parts: list[str] = []
        range_from = False
        while (c := self.take()) != "]":
            if c == "-" and range_from and not self.pattern.startswith("]", self.at):
                parts += ["-", self.bracket_item(self.take())]
                range_from = False
            else:
                parts.append(self.bracket_item(c))
                range_from = True
        if not parts:
            return r"[\s\S]" if negated else "(?!)"
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def bracket_item(self, c: str) -> str:
        if c == "\\":
            return self.escape(in_bracket=True)
        following = self.pattern[self.at : self.at + 1]
        if c == "[" and following == ":":
            return self.posix_class()
        if c == "[" and following in (".", "="):
            raise ValueError(f"collating elements (position {self.at - 1}) are not supported by budget")
        return re.escape(c)

    def posix_class(self) -> str:
        end = self.pattern.find(":]", self.at)
        name = self.pattern[self.at + 1 : end] if end > 0 else ""
        if name not in _POSIX:
            raise ValueError(f"no such character class at position {self.at - 1}")
        self.at = end + 2
        return _POSIX[name]


@cache
def tensor_pattern(pattern: str) -> re.Pattern[str]:
    """`pattern` of an `-ot` override, compiled; use `search` on the full tensor name.

    Raises:
        UsageError: it is no ECMAScript regular expression; says why and where.
    """
    try:
        return re.compile(_Translator(pattern).translate(), re.ASCII)
    except (ValueError, OverflowError, RecursionError, re.error) as e:
        raise UsageError(
            f"{pattern!r} is not a regular expression as llama.cpp reads them: {e}",
            hint=r"a pattern looks like blk\.[0-9]+\.ffn_.*_exps",
        ) from e
