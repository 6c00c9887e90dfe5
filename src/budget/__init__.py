"""Capacity planning for llama.cpp: what a GGUF model takes, on which device, before it is loaded."""

__version__ = "0.1.0"
