"""What the shapes have in common."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Basis = Literal["exact", "formula", "estimate"]
Verdict = Literal["fits", "does_not_fit", "unknown"]


class Object(BaseModel):
    """An object with no key beyond those named; the text under a field is its description."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
