"""One model's verdict and largest context: what a list of many models shows of each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from budget.errors import UnknownAnswerError
from budget.planning.fit import Request, Verdict, plan
from budget.planning.longest import max_context, with_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A model in one row."""

    architecture: str
    tensor_bytes: int
    """Weights as the file holds them."""
    n_ctx_train: int
    n_ctx: int
    """Total context that the verdict is about, tokens."""
    verdict: Verdict
    required_bytes: int
    """On all devices together, at that context."""
    max_ctx: int | None
    """Largest total context that fits; None where none does or it is not known."""
    reason: str = ""
    mmproj: str | None = None
    """Path or address of the projector that is counted with it."""


def judge(request: Request) -> Judgement:
    """What the model of `request` does there; with no context given, at the largest that fits.

    Raises:
        BudgetError: llama.cpp refuses the settings for this model.
    """
    model = request.model
    largest: int | None = None
    with suppress(UnknownAnswerError):
        largest = max_context(request)
    if not request.settings.n_ctx:
        request = with_context(request, largest or 1)
    answer = plan(request)
    reasons = [f"{f.device} short by {f.short_bytes} bytes" for f in answer.failures]
    return Judgement(
        architecture=model.architecture,
        tensor_bytes=sum(t.nbytes for t in model.tensors),
        n_ctx_train=model.n_ctx_train,
        n_ctx=answer.layout.params.n_ctx,
        verdict=answer.verdict,
        required_bytes=sum(d.required_bytes for d in answer.devices),
        max_ctx=largest,
        reason="; ".join((*reasons, *answer.reasons)),
        mmproj=request.settings.mmproj,
    )
