"""`budget fit hf://user/repo`: which quantisations of a repository fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from budget.cli.output import Output, exit_of_any
from budget.cli.question import Question
from budget.cli.scan import Judge
from budget.errors import BudgetError

if TYPE_CHECKING:
    from budget.planning.judge import Judgement


def names_repository(spec: str) -> bool:
    """Whether `spec` names a repository of the Hub without saying which quantisation."""
    if not spec.startswith(("hf://", "https://", "http://")):
        return False
    from budget.source.hub_name import names_repo

    return names_repo(spec)


def fit_quants(asked: Question, out: Output, spec: str) -> int:
    """All quantisations against the budget: exit code 0 if one fits, that of the first error if all have one."""
    from budget.source.hub import list_quants, open_all

    judge = Judge(asked.ready())
    repo = list_quants(spec, use_cache=asked.use_cache)
    rows: list[tuple[str, str, Judgement | None, str]] = []
    errors: list[BudgetError] = []
    for file, opened in open_all(repo, use_cache=asked.use_cache):
        try:
            if isinstance(opened, BudgetError):
                raise opened
            rows.append((file.quant, file.path, judge(*opened), ""))
        except BudgetError as e:
            errors.append(e)
            rows.append((file.quant, file.path, None, e.message))
    from budget.render.scan import quants_object, quants_screen

    found = quants_object(spec, rows, [file.path for file in repo.mmproj])
    out.show(data=lambda: found, screen=lambda: quants_screen(spec, rows), rows=lambda: found["quants"])
    verdicts = [result.verdict for _, _, result, _ in rows if result is not None]
    return int(exit_of_any(verdicts) if verdicts or not errors else errors[0].exit_code)
