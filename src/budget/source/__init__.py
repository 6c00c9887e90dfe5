"""Where header bytes come from: files, shards, samples, URLs, Hugging Face, Ollama."""

from __future__ import annotations

from budget.source.open import SourceInfo, open_model

__all__ = ["SourceInfo", "open_model"]
