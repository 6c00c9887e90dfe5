"""`budget check`: models that must fit, for CI."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from budget.cli.output import Output, output_parameters
from budget.cli.parameters import Argument, Option
from budget.cli.question import Question, question
from budget.errors import BudgetError, ExitCode, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from budget.cli.question import Loaded
    from budget.planning.gate import Case, Result
    from budget.render.check import Checked

_Key = tuple[str, str | None, tuple[tuple[str, str], ...]]
"""What tells one model read from another: its name, `assume`, and `--override-kv`."""
CheckForm = Literal["table", "plain", "json", "markdown", "csv", "github", "junit"]
FILE = "GATE.toml"
"""The gate where none is named."""
_HEADING = re.compile(r"^[ \t]*\[\[[ \t]*gate[ \t]*\]\]", re.MULTILINE)


@question(
    models="none", settings=False, machine=False, budget=False,
    output=output_parameters(
        CheckForm, "table on a terminal, github in a GitHub workflow, else plain, unless one is given here."
    ),
)  # fmt: skip
def command(
    _asked: Question,
    out: Output,
    gates: Annotated[
        list[str] | None,
        Argument(metavar="GATE.toml...", show_default=False, help=f"Gate files; {FILE} where none is given."),
    ] = None,
    init: Annotated[bool, Option("--init", help="Write a commented example, and check nothing.")] = False,
    junit: Annotated[
        str | None, Option("--junit", metavar="FILE", show_default=False, help="Write JUnit XML as well.")
    ] = None,
    summary: Annotated[
        str | None,
        Option(
            "--summary",
            metavar="FILE",
            show_default=False,
            help="Append a Markdown summary; in a GitHub workflow, to the job's.",
        ),
    ] = None,
    no_cache: Annotated[bool, Option("--no-cache", help="Read headers again, and keep none.")] = False,
) -> int:
    """Models x machines x settings with what is expected of them, from TOML files. For CI.

    Exit code 0 if every expectation is met, 3 if one is not, else that of the first error: 4 a model cannot be
    read, 5 no such device, 6 network; 7 if something is not known.
    """
    if init:
        if len(gates or ()) > 1:
            raise UsageError("--init writes one file", hint="name one of them")
        return _write_example((gates or [FILE])[0], out)
    from budget.planning.gate import exit_code
    from budget.render.check import all_results

    models: dict[_Key, Loaded] = {}
    checked = [_check(path, models, out, no_cache=no_cache) for path in gates or [FILE]]
    _write_files(checked, junit=junit, summary=summary or _job_summary(out))
    _show(checked, out)
    return int(exit_code(all_results(checked)))


def _in_github(out: Output) -> bool:
    """Whether the answer is for a GitHub workflow: asked for, or run in one and no other form asked for."""
    return out.form == "github" or (not out.is_given and os.environ.get("GITHUB_ACTIONS") == "true")


def _job_summary(out: Output) -> str | None:
    return os.environ.get("GITHUB_STEP_SUMMARY") if _in_github(out) else None


def _check(path: str, models: dict[_Key, Loaded], out: Output, *, no_cache: bool) -> Checked:
    """Every case of one file; what is wrong with the file itself is an annotation too."""
    from pathlib import Path

    from budget.planning.gate import parse_gate
    from budget.render.check import Checked, annotation

    try:
        text = _read(Path(path))
        cases = parse_gate(_toml(text))
    except BudgetError as e:
        if _in_github(out):
            out.write(
                annotation(path, 1, "budget: the gate file", [e.message, *([e.hint] if e.hint else [])])
            )
        raise UsageError(f"{path}: {e.message}", hint=e.hint) from e
    lines = tuple(text.count("\n", 0, match.start()) + 1 for match in _HEADING.finditer(text))
    folder = Path(path).parent
    results = tuple(_result(case, folder, models, no_cache=no_cache) for case in cases)
    return Checked(file=path, lines=lines, results=results)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        reason = e.strerror if isinstance(e, OSError) else "it is not UTF-8"
        raise UsageError(
            reason or str(e), hint="name a gate file; budget check --init writes an example"
        ) from e


def _toml(text: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"not TOML: {e}", hint="budget check --init writes an example") from e


def _result(case: Case, folder: Path, models: dict[_Key, Loaded], *, no_cache: bool) -> Result:
    """One case planned and judged; what cannot be planned is a result too."""
    from budget.planning.fit import plan
    from budget.planning.gate import Result, judge
    from budget.planning.longest import max_context

    try:
        asked = _question(case, folder, no_cache=no_cache)
        spec = _beside(case.model, folder)
        key = (spec, case.options.get("assume"), asked.settings.override_kv)
        if key not in models:
            models[key] = asked.load(spec)
        asked.know(models[key].model, models[key].source)
        request = asked.request(models[key].model)
        return judge(case, plan(request), lambda: max_context(request))
    except BudgetError as e:
        return Result(case=case, error=e)


def _question(case: Case, folder: Path, *, no_cache: bool) -> Question:
    """The same question that options on a command line would add up to, without anybody's configuration."""
    from budget.runtime.words import split_words

    class GateQuestion(Question):
        """A gate is judged by what it says alone: no budget.toml, no BUDGET_* variables."""

        config = None

    machine = case.machine
    values = {
        "machine": None if machine.file is None else _beside(machine.file, folder),
        "gpu": list(machine.gpus),
        "ram": machine.ram,
        "no_gpu": machine.no_gpu or (machine.ram is not None and machine.file is None and not machine.gpus),
        "settings_args": split_words(case.settings, "settings"),
        "no_cache": no_cache,
        "quiet": True,
        **case.options,
    }
    return GateQuestion(values=values, line=[])


def _beside(text: str, folder: Path) -> str:
    """A path in a gate file is meant from the folder of that file; addresses and names stay as they are."""
    if ":" in text:
        return text
    path = folder / text
    looks_like_path = text.endswith((".gguf", ".json")) or "/" in text or "\\" in text
    return str(path) if looks_like_path or path.exists() else text


def _write_files(checked: list[Checked], *, junit: str | None, summary: str | None) -> None:
    """JUnit XML and the summary, where they are asked for."""
    from budget.render.check import check_markdown, junit_xml

    for path, mode, text in ((junit, "w", junit_xml), (summary, "a", check_markdown)):
        if path:
            _write(path, mode, f"{text(checked)}\n")


def _write(path: str, mode: str, text: str) -> None:
    from pathlib import Path

    try:
        with Path(path).open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}", hint="name a file in a folder that is there") from e


def _show(checked: list[Checked], out: Output) -> None:
    from budget.render import check as render

    if out.form == "junit":
        out.write(render.junit_xml(checked))
    elif out.form == "markdown":
        out.write(render.check_markdown(checked))
    elif _in_github(out):
        out.write(render.github_lines(checked))
    else:
        out.show(
            data=lambda: render.check_object(checked),
            screen=lambda: render.check_screen(checked),
            rows=lambda: render.check_rows(checked),
        )


def _write_example(path: str, out: Output) -> int:
    from pathlib import Path

    from budget.render.gate_example import EXAMPLE

    if Path(path).exists():
        raise UsageError(f"{path} is there already", hint="name another file: budget check --init OTHER.toml")
    _write(path, "w", EXAMPLE)
    out.write(f"wrote {path}: change it, then run budget check {'' if path == FILE else path}".rstrip())
    return int(ExitCode.OK)
