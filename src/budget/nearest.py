"""What was probably meant by a word that is not one of those there are."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, words: Iterable[str], *, n: int = 2) -> list[str]:
    """At most `n` of `words`: the same but for case, those that begin with `word`, then those spelled alike.

    Short names that begin alike come first: `--ctx` means `--ctx-size` rather than `--ctx-checkpoints`.
    """
    there = list(dict.fromkeys(words))
    wanted = word.lower()
    same = [w for w in there if w.lower() == wanted]
    begin = sorted((w for w in there if len(wanted.strip("-")) > 1 and w.lower().startswith(wanted)), key=len)
    found = list(dict.fromkeys([*same, *begin]))
    if not found:
        from difflib import get_close_matches

        by_lower = {w.lower(): w for w in reversed(there)}
        found = [by_lower[w] for w in get_close_matches(wanted, by_lower, n=n, cutoff=0.6)]
    return found[:n]


def misspelt(word: str, words: Iterable[str]) -> str | None:
    """The one of `words` that `word` all but is; None where it may well be meant as it stands."""
    from difflib import get_close_matches

    by_lower = {w.lower(): w for w in words}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=0.8)
    return by_lower[found[0]] if found else None


def did_you_mean(near: Iterable[str], otherwise: str) -> str:
    """`did you mean A or B? otherwise`, or what remains where nothing is near."""
    text = " or ".join(near)
    return f"did you mean {text}? {otherwise}" if text else otherwise


def one_of(word: str, words: Iterable[str], what: str) -> str:
    """The hint for a `word` that is none of `words`: the nearest, and all there are, which `what` names."""
    there = tuple(words)
    return did_you_mean(nearest(word, there, n=1), f"{what}: {', '.join(there)}")
