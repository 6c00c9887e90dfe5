"""The tokens of one request, as a sentence and as data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from budget.planning.request import RequestBudget
from budget.render.screen import Block, Text


def request_object(answer: RequestBudget) -> dict[str, Any]:
    """`budget/request/v1`."""
    return {
        "schema": "budget/request/v1",
        "fits": answer.fits,
        **asdict(answer),
        "clamped": answer.clamped,
        "n_short": answer.n_short,
        "finish_reason": answer.finish_reason,
        "sentence": answer.sentence,
    }


def request_screen(answer: RequestBudget) -> list[Block]:
    """One sentence."""
    return [Text(answer.sentence, "" if answer.fits else "bad")]
