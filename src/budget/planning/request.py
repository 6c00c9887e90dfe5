"""The tokens of one request: how many completion tokens it may have, and the context it needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from budget.errors import UsageError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestBudget:
    """What one request may use of a context; every count is in tokens and never negative."""

    n_used: int
    """The prompt, and what the slot holds already."""
    n_completion_wanted: int
    n_capacity: int
    """Context of one slot."""
    n_remaining: int
    """Left beside the prompt."""
    n_completion: int
    """Completion tokens that may be produced."""
    n_ctx_target: int
    """Context needed for prompt and completion, at most the capacity."""

    @property
    def clamped(self) -> bool:
        """Whether the completion is shorter than wanted."""
        return self.n_completion < self.n_completion_wanted

    @property
    def fits(self) -> bool:
        """False where the prompt alone is longer than the capacity."""
        return self.n_used <= self.n_capacity

    @property
    def n_short(self) -> int:
        """Tokens by which the prompt is too long."""
        return max(self.n_used - self.n_capacity, 0)

    @property
    def finish_reason(self) -> FinishReason:
        """Why a completion ends that uses all it may: `length` where it was clamped, else `stop`."""
        return finish_reason(self, self.n_completion)

    @property
    def sentence(self) -> str:
        """The answer for people."""
        if not self.fits:
            return (
                f"the prompt of {self.n_used:,} tokens is {self.n_short:,} longer than the "
                f"capacity of {self.n_capacity:,}"
            )
        if self.clamped:
            return (
                f"{self.n_completion:,} of {self.n_completion_wanted:,} completion tokens fit beside "
                f"{self.n_used:,} tokens in {self.n_capacity:,}"
            )
        return f"all {self.n_completion:,} completion tokens fit; the context needed is {self.n_ctx_target:,}"


def remaining_tokens(n_used: int, n_capacity: int) -> int:
    """Tokens left in a context of `n_capacity` beside `n_used`; 0 where it is over-full."""
    return max(n_capacity - n_used, 0)


def request_budget(*, n_used: int, n_completion: int, n_capacity: int) -> RequestBudget:
    """What a request of `n_used` prompt tokens that wants `n_completion` more may have.

    Raises:
        UsageError: a negative count.
    """
    for name, n in (("used", n_used), ("completion", n_completion), ("capacity", n_capacity)):
        if n < 0:
            raise UsageError(f"--{name} {n}: a count of tokens cannot be negative")
    remaining = remaining_tokens(n_used, n_capacity)
    completion = min(n_completion, remaining)
    return RequestBudget(
        n_used=n_used,
        n_completion_wanted=n_completion,
        n_capacity=n_capacity,
        n_remaining=remaining,
        n_completion=completion,
        n_ctx_target=min(n_capacity, n_used + completion),
    )


def finish_reason(budget: RequestBudget, n_produced: int) -> FinishReason:
    """`length` when the completion was clamped and used up all it had, else `stop`."""
    return "length" if budget.clamped and n_produced >= budget.n_completion else "stop"
