"""Host memory as an account of its own: pages of the file, private memory, pinned memory, and what grows later."""

from __future__ import annotations

from typing import Literal

from budget.gguf.header import Array
from budget.memory.kv_cache import CacheTensor, n_embd_k_gqa, n_embd_v_gqa
from budget.memory.layout import HOST, Basis, Layout
from budget.model.facts import Model
from budget.record import record
from budget.runtime.settings import Settings
from budget.units import MiB

Kind = Literal["file pages", "private", "pinned"]

_CELL_BYTES = 52
"""One cell: position, shift, extension, and a bit per sequence (llama-kv-cells.h: 4 + 4 + 12 + 256 / 8)."""
_USED_CELL_BYTES = 96
"""A used cell is also a node in two sets: 48 bytes each with the allocator's header (`used`, `seq_pos`)."""
_CELL_META_BYTES = 12
"""Saved with each cell of a state: position, number of sequences, sequence (`state_write_meta`)."""
_TOKEN_BYTES = 168
"""One token: text, score and attribute (40), a hash node (72 with its bucket), its printed piece (32), and for
texts of more than 15 bytes heap of their own (llama-vocab.cpp; sizes of libstdc++)."""
_MERGE_BYTES = 112
"""One merge: two strings, a rank and a hash node with its bucket (`bpe_ranks`). For 128,000 tokens and as many
merges the two make 35.8 MB; a load takes 37.1 MB of private memory more than one without a vocabulary."""
_NODE_BYTES = 400
"""One node of a graph: tensor and object header (ggml.c, `ggml_tensor_overhead`), hash and allocation slots."""
_GRAPHS = 3
"""Graphs kept: of the prompt, of a token, and the reserved one."""
_CHECKPOINTS_AT_REST = 2
"""Checkpoints of a prompt: one a micro-batch before its end, one at its end (server-context.cpp)."""
_STAGING_BYTES = {"dio": 4 * 64 * MiB, "none": 4 * MiB, "mlock": 4 * MiB}
"""Four buffers for uploading weights, by load mode; none where the file is mapped (llama-model-loader.cpp)."""


@record
class HostPart:
    """One line of the host's account."""

    name: str
    kind: Kind
    """`file pages` can be dropped and read again; `private` memory cannot; `pinned` cannot even be swapped."""
    steady_bytes: int
    """After loading, with short prompts."""
    worst_bytes: int
    """Once every slot, cache and limit is full."""
    basis: Basis
    source: str


@record
class HostMemory:
    """Every part of the host's memory."""

    parts: tuple[HostPart, ...]

    @property
    def steady_bytes(self) -> int:
        """After loading, with short prompts."""
        return sum(p.steady_bytes for p in self.parts)

    @property
    def worst_bytes(self) -> int:
        """Once every slot, cache and limit is full."""
        return sum(p.worst_bytes for p in self.parts)

    def of_kind(self, kind: Kind) -> tuple[int, int]:
        """Steady and worst bytes of one kind."""
        mine = [p for p in self.parts if p.kind == kind]
        return sum(p.steady_bytes for p in mine), sum(p.worst_bytes for p in mine)


def host_memory(model: Model, settings: Settings, layout: Layout) -> HostMemory:
    """What a server with this layout takes of the host, the libraries' own memory aside."""
    parts = (
        *_buffers(model, settings, layout),
        *_output(model, layout),
        *_tables(model, layout),
        *_growing(model, settings, layout),
    )
    return HostMemory(parts=tuple(p for p in parts if p.steady_bytes or p.worst_bytes))


def _buffers(model: Model, settings: Settings, layout: Layout) -> list[HostPart]:
    """llama.cpp's own buffers in host memory."""
    result = []
    for buffer in layout.buffers:
        if buffer.device != HOST:
            continue
        kind: Kind = "pinned" if buffer.name.endswith("_Host") else "private"
        weights = buffer.weights_bytes
        if buffer.name.endswith("_Mapped"):
            read = sum(
                p.tensor.nbytes
                for p in layout.placement.weights
                if p.buffer_type.name == "CPU" and not p.is_duplicate
            )
            locked = "mlock" in settings.load_mode
            result.append(
                HostPart(
                    name="weights, mapped from the file",
                    kind="pinned" if locked else "file pages",
                    steady_bytes=weights if locked else min(read, weights),
                    worst_bytes=weights,
                    basis=layout.weights_basis,
                    source="the span of the file that is mapped; at rest the pages of weights used from there",
                )
            )
        elif weights:
            what = "weights, repacked: a second copy" if buffer.name == "CPU_REPACK" else "weights"
            result.append(
                _fixed(f"{what} ({buffer.name})", kind, weights, layout.weights_basis, "ggml-alloc.c")
            )
        for what, size, basis in (
            ("caches and states", buffer.context_bytes, layout.context_basis),
            ("compute buffer", buffer.compute_bytes, layout.compute.basis),
        ):
            if size:
                result.append(_fixed(f"{what} ({buffer.name})", kind, size, basis, "llama.cpp's buffer"))
    staging = _STAGING_BYTES.get(settings.load_mode, 0) if layout.devices else 0
    if staging:
        result.append(
            HostPart(
                name="upload buffers, while loading",
                kind="pinned",
                steady_bytes=0,
                worst_bytes=staging,
                basis="formula",
                source="llama-model-loader.cpp, load_all_data",
            )
        )
    if any(device is None for device in layout.placement.layer_device):
        rows = layout.params.n_ubatch * max(*model.n_ff, model.n_embd)
        result.append(
            _fixed(
                "work memory of the CPU backend", "private", rows * 9 // 8, "estimate",
                "ggml-cpu.c, ggml_graph_plan: activations of the widest product, 36 bytes per 32",
            )
        )  # fmt: skip
    return result


def _fixed(name: str, kind: Kind, size: int, basis: Basis, source: str) -> HostPart:
    return HostPart(name=name, kind=kind, steady_bytes=size, worst_bytes=size, basis=basis, source=source)


def _output(model: Model, layout: Layout) -> list[HostPart]:
    """Logits and embeddings: a row per sequence at first, a row per output of the largest batch later."""
    params = layout.params
    steady = sum(b.output_bytes for b in layout.buffers)
    row = 4 * (model.n_vocab or 0) + (4 * model.n_embd_out if params.embeddings else 0)
    pinned = any(b.output_bytes and b.name.endswith("_Host") for b in layout.buffers)
    return [
        HostPart(
            name="output buffer",
            kind="pinned" if pinned else "private",
            steady_bytes=steady,
            worst_bytes=max(steady, row * params.n_outputs_max),
            basis="formula",
            source="llama-context.cpp, output_reserve: grows to the most outputs of one batch",
        )
    ]


def _tables(model: Model, layout: Layout) -> list[HostPart]:
    n_tokens = _array_length(model, "tokenizer.ggml.tokens") or model.n_vocab or 0
    n_merges = _array_length(model, "tokenizer.ggml.merges")
    vocabulary = n_tokens * _TOKEN_BYTES + n_merges * _MERGE_BYTES
    cells = sum(_cells(layout).values())
    n_nodes = max(1024, 8 * len(model.tensors))
    return [
        _fixed("vocabulary", "private", vocabulary, "estimate", "llama-vocab.cpp: tokens, pieces and merges"),
        HostPart(
            name="cell tables",
            kind="private",
            steady_bytes=cells * _CELL_BYTES,
            worst_bytes=cells * (_CELL_BYTES + _USED_CELL_BYTES),
            basis="estimate",
            source="llama-kv-cells.h: a row per cell, and nodes of sets once it is used",
        ),
        _fixed(
            "graphs",
            "private",
            _GRAPHS * n_nodes * _NODE_BYTES,
            "estimate",
            "llama-context.cpp, graph_max_nodes",
        ),
    ]


def _array_length(model: Model, key: str) -> int:
    value = model.header.metadata.get(key)
    return value.value.length if value is not None and isinstance(value.value, Array) else 0


def _cells(layout: Layout) -> dict[str, int]:
    """Cells of each K/V cache, all streams."""
    return {
        t.cache: t.ne[1] * t.ne[2]
        for t in layout.caches
        if len(t.ne) == 3 and t.cache not in ("recurrent", "state")
    }


def _growing(model: Model, settings: Settings, layout: Layout) -> list[HostPart]:
    """What llama-server keeps for later: prompts it has seen, and states that cannot be rolled back."""
    if settings.tool != "llama-server" or settings.embedding:
        return []
    result = []
    limit = settings.cache_ram_mib
    if limit:
        # without a limit in bytes the tokens are limited to one context
        worst = limit * MiB if limit > 0 else sum(_state_bytes(t) for t in layout.caches)
        result.append(
            HostPart(
                name="prompt cache (--cache-ram)",
                kind="private",
                steady_bytes=0,
                worst_bytes=worst,
                basis="formula",
                source="server-task.cpp, server_prompt_cache: makes room before it would pass the limit",
            )
        )
    state = checkpoint_bytes(model, layout)
    if state and settings.ctx_checkpoints > 0:
        slots = layout.params.n_seq_max
        result.append(
            HostPart(
                name="context checkpoints (--ctx-checkpoints)",
                kind="private",
                steady_bytes=slots * min(_CHECKPOINTS_AT_REST, settings.ctx_checkpoints) * state,
                worst_bytes=slots * settings.ctx_checkpoints * state,
                basis="formula",
                source="server-context.cpp, create_checkpoint: the window or the states of one slot, each",
            )
        )
    return result


def _state_bytes(tensor: CacheTensor) -> int:
    return tensor.type.tensor_bytes((*tensor.ne, *(1,) * (4 - len(tensor.ne))))


def checkpoint_bytes(model: Model, layout: Layout) -> int:
    """One context checkpoint of one slot, bytes; 0 for models that can roll back without.

    Source: llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp, `state_write` with PARTIAL_ONLY: the cells inside
    the window of the sliding-window layers, and one sequence of the recurrent states.
    """
    params = layout.params
    states = params.n_seq_max * (1 + params.n_rs_seq)
    total = 0
    cells = min(model.n_swa, params.n_ctx_seq)
    windowed = {t.layer: t for t in layout.caches if t.cache == "swa"} if not params.swa_full else {}
    for il in windowed:
        total += cells * (
            params.type_k.row_bytes(n_embd_k_gqa(model, il))
            + (0 if model.is_mla else params.type_v.row_bytes(n_embd_v_gqa(model, il)))
        )
    if windowed:
        total += cells * _CELL_META_BYTES
    total += sum(_state_bytes(t) // states for t in layout.caches if t.cache in ("recurrent", "state"))
    return total
