"""llama-server's named presets, and what replaced its removed flags, as data (common/arg.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CODER = {"n_batch": 1024, "n_ubatch": 1024, "n_ctx": 0}
_GPT_OSS = {"n_batch": 32768, "n_ubatch": 2048, "n_parallel": 2, "n_ctx": 2 * 131072}


def _repo(name: str, file: str | None = None) -> dict[str, str]:
    return {"hf_repo": f"ggml-org/{name}"} | ({"hf_file": file} if file else {})


_CODER_7B = _repo("Qwen2.5-Coder-7B-Q8_0-GGUF", "qwen2.5-coder-7b-q8_0.gguf")
_CODER_14B = _repo("Qwen2.5-Coder-14B-Q8_0-GGUF", "qwen2.5-coder-14b-q8_0.gguf")
_DRAFT = {
    "draft_repo": "ggml-org/Qwen2.5-Coder-0.5B-Q8_0-GGUF",
    "draft_path": "qwen2.5-coder-0.5b-q8_0.gguf",
}

PRESETS: Mapping[str, tuple[Mapping[str, str], Mapping[str, Any]]] = {
    "--embd-gemma-default": (
        _repo("embeddinggemma-300M-qat-q4_0-GGUF", "embeddinggemma-300M-qat-Q4_0.gguf"),
        {"n_batch": 2048, "n_ubatch": 2048, "n_parallel": 32, "n_ctx": 32 * 2048, "embedding": True},
    ),
    "--fim-qwen-1.5b-default": (
        _repo("Qwen2.5-Coder-1.5B-Q8_0-GGUF", "qwen2.5-coder-1.5b-q8_0.gguf"),
        _CODER,
    ),
    "--fim-qwen-3b-default": (_repo("Qwen2.5-Coder-3B-Q8_0-GGUF", "qwen2.5-coder-3b-q8_0.gguf"), _CODER),
    "--fim-qwen-7b-default": (_CODER_7B, _CODER),
    "--fim-qwen-7b-spec": (_CODER_7B | _DRAFT, _CODER),
    "--fim-qwen-14b-spec": (_CODER_14B | _DRAFT, _CODER),
    "--fim-qwen-30b-default": (
        _repo("Qwen3-Coder-30B-A3B-Instruct-Q8_0-GGUF", "qwen3-coder-30b-a3b-instruct-q8_0.gguf"),
        _CODER,
    ),
    "--gpt-oss-20b-default": (_repo("gpt-oss-20b-GGUF", "gpt-oss-20b-mxfp4.gguf"), _GPT_OSS),
    "--gpt-oss-120b-default": (_repo("gpt-oss-120b-GGUF"), _GPT_OSS),
    "--vision-gemma-4b-default": (_repo("gemma-3-4b-it-qat-GGUF"), {"n_ctx": 0}),
    "--vision-gemma-12b-default": (_repo("gemma-3-12b-it-qat-GGUF"), {"n_ctx": 0}),
}
"""Flag: files it names, settings it makes. The context is set without forbidding `--fit` to shorten it."""

_N_MAX = "--spec-draft-n-max or --spec-ngram-mod-n-max"
_N_MIN = "--spec-draft-n-min or --spec-ngram-mod-n-min"
REPLACED = {
    "--draft": _N_MAX, "--draft-n": _N_MAX, "--draft-max": _N_MAX, "LLAMA_ARG_DRAFT_MAX": _N_MAX,
    "--draft-min": _N_MIN, "--draft-n-min": _N_MIN, "LLAMA_ARG_DRAFT_MIN": _N_MIN,
    "--spec-ngram-size-n": "--spec-ngram-*-size-n or --spec-ngram-mod-n-match",
    "--spec-ngram-size-m": "--spec-ngram-*-size-m",
    "--spec-ngram-min-hits": "--spec-ngram-*-min-hits",
}  # fmt: skip
"""Removed flag or variable: what llama.cpp tells the user to take."""
