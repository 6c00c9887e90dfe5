"""Compute buffers: llama.cpp's graph, scheduler and allocator, replayed from a header."""

from __future__ import annotations

from budget.memory.compute.replay import compute_buffers

__all__ = ["compute_buffers"]
