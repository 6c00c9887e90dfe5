"""`budget diff`: two answers side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from budget.cli.output import Output
from budget.cli.parameters import Option
from budget.cli.question import Question, question
from budget.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from budget.planning.compare import Side

_TOOLS = ("llama-server", "llama-cli", "llama")


@question()
def command(
    asked: Question,
    out: Output,
    a: Annotated[
        str | None,
        Option(
            "--a",
            metavar="FLAGS",
            show_default=False,
            help="llama.cpp's flags of the first: --a '-ctk f16'; or a whole llama-server line.",
        ),
    ] = None,
    b: Annotated[
        str | None,
        Option("--b", metavar="FLAGS", show_default=False, help="The same of the second: --b '-ctk q8_0'."),
    ] = None,
) -> int:
    """Two models, or one model with two sets of flags (--a, --b), part by part.

    MODEL may also be what `budget fit --json` wrote before, a file that ends in .json.
    """
    from budget.planning.compare import compare

    first, second = _specs(asked, a, b)
    _refuse_settings(asked, first, second)
    found = compare(_side(asked, first, a, "a"), _side(asked, second, b, "b"))
    from budget.render.diff import diff_object, diff_screen

    out.show(
        data=lambda: diff_object(found),
        screen=lambda: diff_screen(found),
        rows=lambda: diff_object(found)["parts"],
    )
    return int(ExitCode.OK)


def _specs(asked: Question, a: str | None, b: str | None) -> tuple[str | None, str | None]:
    """The two models; None where the line of that side names it.

    Raises:
        UsageError: not two things to compare.
    """
    given = list(asked.values.get("models") or ())
    hint = "budget diff A.gguf B.gguf, or budget diff MODEL --a '-c 8k' --b '-c 32k'"
    if len(given) > 2:
        raise UsageError(f"{len(given)} models; diff compares two", hint=hint)
    if len(given) == 2:
        return given[0], given[1]
    if a is None and b is None:
        raise UsageError("nothing to compare with", hint=hint)
    if given:
        return given[0], given[0]
    return None, None


def _refuse_settings(asked: Question, *specs: str | None) -> None:
    """Two kept answers are what they are: settings beside them would be ignored.

    Raises:
        UsageError: names the first one.
    """
    if not all(spec is not None and spec.endswith(".json") for spec in specs):
        return
    own = [*(asked.values.get("settings_args") or ()), *asked.line]
    names = ("machine", "gpu", "ram", "no_gpu", "budget", "overhead", "reserve")
    own += [f"--{name.replace('_', '-')}" for name in names if asked.values.get(name)]
    if own:
        raise UsageError(
            f"{own[0]} changes nothing: both sides are answers that were kept",
            hint="settings go with a model: budget diff MODEL --a '-c 8k' --b '-c 32k'",
        )


def _side(asked: Question, spec: str | None, flags: str | None, letter: str) -> Side:
    """One side: a plan made now, or an answer that was kept."""
    from budget.cli.own_flags import refuse_other_model
    from budget.planning.compare import Side
    from budget.runtime.words import split_words

    words = split_words(flags or "", f"--{letter}")
    if spec is not None and spec.endswith(".json"):
        if words:
            raise UsageError(f"{spec} is an answer already", hint="flags go with a model")
        return Side(name=spec, answer=_kept(spec))
    from budget.planning.fit import plan
    from budget.planning.longest import max_context
    from budget.render.json import fit_object

    mine = _with(asked, spec, words)
    spec = mine.specs()[0]
    if not _is_line(words):
        refuse_other_model(words, option=f"--{letter}", spec=spec, tool=mine.settings.tool)
    loaded = mine.load(spec)
    request = mine.request(loaded.model)
    answer = plan(request)
    data = fit_object(
        answer,
        path=loaded.source.location,
        file_bytes=loaded.source.file_bytes,
        max_ctx=None if answer.reasons else max_context(request),
        suggestions=[],
    )
    name = flags or spec if _is_line(words) else " ".join([spec, *words])
    return Side(name=name, answer=data)


def _is_line(words: list[str]) -> bool:
    """Whether these are a whole llama.cpp command line."""
    return bool(words) and words[0].replace("\\", "/").rpartition("/")[2] in _TOOLS


def _with(asked: Question, spec: str | None, words: list[str]) -> Question:
    """The question of one side: what both share, and its own flags."""
    own = list(asked.values.get("settings_args") or ())
    line = list(asked.line)
    if _is_line(words):
        line = words
    elif line:
        line += words
    else:
        own += words
    models = [] if spec is None else [spec]
    return Question(values={**asked.values, "models": models, "settings_args": own}, line=line)


def _kept(path: str) -> dict[str, Any]:
    """An answer of `budget fit --json`.

    Raises:
        UsageError: the file cannot be read, or holds something else.
    """
    import json
    from pathlib import Path

    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not JSON"
        raise UsageError(f"{path}: {reason}", hint="budget fit MODEL --json > FILE writes one") from e
    if not isinstance(data, dict) or data.get("schema") != "budget/fit/v1":
        raise UsageError(f"{path} is no answer of budget fit --json", hint="its schema is budget/fit/v1")
    _whole(path, data)
    return data


def _whole(path: str, data: dict[str, Any]) -> None:
    """Refuse an answer that lacks what is compared."""
    devices = data.get("devices")
    tables = (data.get("model"), data.get("settings"), data.get("budget"))
    sound = isinstance(devices, list) and all(isinstance(d, dict) and "name" in d for d in devices)
    if not sound or not all(isinstance(t, dict) for t in tables) or "verdict" not in data:
        raise UsageError(f"{path} lacks parts of budget/fit/v1", hint="budget fit MODEL --json writes it")
