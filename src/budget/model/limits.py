"""Fixed limits of llama.cpp (llama-hparams.h)."""

LLAMA_MAX_LAYERS = 512
LLAMA_MAX_EXPERTS = 1024
