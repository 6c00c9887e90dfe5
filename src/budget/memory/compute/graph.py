"""What a graph is built from: the model's weights, its caches, the inputs, and the blocks every architecture has."""

from __future__ import annotations

from budget.errors import BadModelError
from budget.gguf.types import F16, F32, I32, I64
from budget.memory.compute.ops import Ops
from budget.memory.compute.tensor import Tensor
from budget.memory.kv_cache import CacheTensor
from budget.memory.placement import PlacedTensor
from budget.model.facts import Model
from budget.record import record
from budget.runtime.settings import ContextParams


@record(frozen=False)
class Shared:
    """What all graphs of one context have in common: facts that a builder only reads."""

    model: Model
    params: ContextParams
    weights: dict[str, PlacedTensor]
    """First copy of every weight, by name."""
    duplicates: dict[str, tuple[PlacedTensor, ...]]
    """Further copies: a tied output, rope tables."""
    caches: dict[str, CacheTensor]
    """K, V and state tensors by the name llama.cpp gives them."""
    cache_rows: dict[str, int]
    """Buffer type of each cache, as `buffer_index` numbers them."""
    buffer_index: dict[str, int]
    layer_backend: tuple[int, ...]
    """Backend of each layer and of the output layer."""
    n_backends: int
    pin_norms: bool
    """Norms with weights are pinned to the device of their layer (`llama_context::graph_get_cb`)."""
    full_offload: bool
    n_kv: int
    """Cells per stream of the (base) K/V cache."""
    n_kv_swa: int
    """... and of the sliding-window cache."""


@record
class Stage:
    """One graph that llama.cpp reserves."""

    n_tokens: int
    """Tokens of the micro-batch, a multiple of `n_seqs`."""
    n_seqs: int
    n_outputs: int
    flash_attn: bool
    fused_lid: bool = True
    """The lightning indexer runs as one operation; llama.cpp never turns it off."""
    fused_hc_pre: bool = True
    """DeepSeek V4's hyper-connections run as one operation each."""
    fused_hc_comb: bool = True
    fused_hc_post: bool = True


class Graph(Ops):
    """A graph with access to the model."""

    def __init__(self, shared: Shared, stage: Stage) -> None:
        super().__init__()
        self.shared = shared
        self.stage = stage
        self.model = model = shared.model
        self.params = shared.params
        self.arch = model.arch.name if model.arch else model.architecture
        self.n_tokens = stage.n_tokens
        self.n_seqs = stage.n_seqs
        self.n_seq_tokens = stage.n_tokens // stage.n_seqs
        self.n_stream = shared.params.n_stream
        """Streams of the cache; the batch is split into as many."""
        self.n_embd = model.n_embd
        self.n_layer = model.n_layer
        self.n_head = model.n_head[0]
        self.n_head_kv = model.n_head_kv[0]
        self.n_embd_head_k = model.n_embd_head_k
        self.n_embd_head_v = model.n_embd_head_v
        self.n_expert = model.n_expert
        self.n_expert_used = model.n_expert_used
        self.flash_attn = stage.flash_attn
        self.pin = shared.pin_norms and (stage.n_tokens < 32 or shared.full_offload)
        self.fattn: list[tuple[Tensor, int]] = []
        """Flash attention nodes with their layer, for the probe."""
        self.fused: dict[str, list[tuple[Tensor, int]]] = {}
        """Other fused nodes by the name of their probe: `hc_pre hc_comb hc_post`."""
        self.alibi = False
        """Attention has an ALiBi bias (`hparams.f_max_alibi_bias`)."""
        self.attn_soft_cap = False
        """Attention scores are capped with tanh (`hparams.attn_soft_cap`)."""
        self.pooling_cls = ""
        """`mean` where the classification head pools so (`hparams.pooling_type_cls`)."""
        self.t_embd: Tensor | None = None
        self.t_logits: Tensor | None = None
        self.t_h_nextn: Tensor | None = None
        self.t_inp_embd: Tensor | None = None
        """The embedded tokens as they are before they are scaled (deepstack inputs stand behind them)."""
        self.alias: dict[int, int] = {}
        """Layers that run the weights of another block; their caches are their own."""
        self.side = ""
        """`enc.` or `dec.` before the names of blocks, where a model has both."""
        self._leaves: dict[str, Tensor] = {}

    def add_fused(self, probe: str, t: Tensor, il: int) -> None:
        """Note a node of `hc_pre hc_comb hc_post` (`add_fused_node`)."""
        self.fused.setdefault(probe, []).append((t, il))

    # --- weights

    def weight(self, name: str) -> Tensor | None:
        """The weight of that full name, or None where the file has none (or it is not loaded)."""
        t = self._leaves.get(name)
        if t is None:
            placed = self.shared.weights.get(name)
            if placed is None:
                return None
            t = self._leaves[name] = self._leaf(placed)
        return t

    def _leaf(self, placed: PlacedTensor) -> Tensor:
        info = placed.tensor
        ne0, ne1, ne2, ne3 = info.ne
        t = Tensor("NONE", info.type, (ne0, ne1, ne2, ne3), [], info.name)
        t.buft = self.shared.buffer_index[placed.buffer_type.name]
        t.is_weight = True
        return t

    def top(self, name: str) -> Tensor:
        """A weight outside the blocks: `top("output_norm")`.

        Raises:
            BadModelError: the file does not have it.
        """
        t = self.weight(f"{name}.weight")
        if t is None:
            raise BadModelError(f"tensor {name}.weight is missing")
        return t

    def named(self, name: str) -> Tensor:
        """A tensor by its full name, for those that do not end in `.weight`: `named("blk.0.ssm_a")`.

        Raises:
            BadModelError: the file does not have it.
        """
        t = self.weight(name)
        if t is None:
            raise BadModelError(f"tensor {name} is missing")
        return t

    def w(self, il: int, name: str) -> Tensor:
        """A weight of block `il` that the architecture cannot do without: `w(il, "attn_norm")`.

        Raises:
            BadModelError: the file does not have it.
        """
        t = self.opt(il, name)
        if t is None:
            raise BadModelError(f"tensor {self._block(il)}.{name}.weight is missing")
        return t

    def _block(self, il: int) -> str:
        return f"{self.side}blk.{self.alias.get(il, il)}"

    def opt(self, il: int, name: str) -> Tensor | None:
        """A weight of block `il`, or None."""
        return self.weight(f"{self._block(il)}.{name}.weight")

    def b(self, il: int, name: str) -> Tensor | None:
        """A bias of block `il`, or None."""
        return self.weight(f"{self._block(il)}.{name}.bias")

    def s(self, il: int, name: str) -> Tensor | None:
        """A scale of block `il` (per-tensor scale of NVFP4 files), or None.

        The loader looks for scales by layer after layers were made to share weights, so they have no alias.
        """
        return self.weight(f"blk.{il}.{name}.scale")

    def output(self) -> Tensor:
        """The matrix that makes logits: `output.weight`, or the tied copy of the embedding."""
        t = self._leaves.get("*output")
        if t is None:
            placed = next(
                (
                    p
                    for p in self.shared.duplicates.get("token_embd.weight", ())
                    if p.tensor_class == "output"
                ),
                None,
            )
            t = self._leaf(placed) if placed is not None else self.top("output")
            self._leaves["*output"] = t
        return t

    def tok_embd(self) -> Tensor:
        t = self.weight("token_embd.weight")
        return t if t is not None else self.top("output")

    def rope_factors(self, il: int) -> Tensor | None:
        """The rope table of layer `il`, in the copy that lies on its device.

        Source: llama-model.cpp, `get_rope_factors`.
        """
        if "rope_freqs.weight" in self.shared.weights:
            return self._rope_copy("rope_freqs.weight", il)
        n_ctx_orig = self.model.number("rope.scaling.original_context_length") or self.model.n_ctx_train
        long = self.params.n_ctx_seq > n_ctx_orig
        return self._rope_copy(f"rope_factors_{'long' if long else 'short'}.weight", il)

    def _rope_copy(self, name: str, il: int) -> Tensor | None:
        first = self.shared.weights.get(name)
        if first is None:
            return None
        backend = self.shared.layer_backend[il]
        key = f"{name}@{backend}"
        t = self._leaves.get(key)
        if t is None:
            copies = (first, *self.shared.duplicates.get(name, ()))
            device = backend if backend < self.shared.n_backends - 1 else None
            placed = next((p for p in copies if p.buffer_type.device == device), first)
            t = self._leaves[key] = self._leaf(placed)
        return t

    def cache(self, name: str) -> Tensor:
        """A tensor of the context's memory: `cache("cache_k_l3")`."""
        t = self._leaves.get(name)
        if t is None:
            info = self.shared.caches.get(name)
            if info is None:
                raise BadModelError(f"there is no {name}")
            ne0, ne1, ne2, ne3 = (*info.ne, 1, 1, 1)[:4]
            ne = (ne0, ne1, ne2, ne3)
            if info.cache == "recurrent":
                # llama-memory-recurrent.cpp: a row per sequence, and per state kept for rollback
                rows = self.params.n_seq_max * (1 + self.params.n_rs_seq)
                ne = (info.ne[0] // rows, rows, 1, 1)
            t = Tensor("NONE", info.type, ne, [], name)
            t.buft = self.shared.cache_rows[name]
            self._leaves[name] = t
        return t

    # --- blocks

    def lora_mm(self, w: Tensor, x: Tensor, scale: Tensor | None = None, name: str = "") -> Tensor:
        """Source: llama-graph.cpp, `build_lora_mm` without adapters."""
        t = self.mul_mat(w, x, name)
        return t if scale is None else self.mul(t, scale, name)

    def mm(self, il: int, name: str, x: Tensor) -> Tensor:
        """`x` times a weight of block `il`, with its scale where the file has one."""
        return self.lora_mm(self.w(il, name), x, self.s(il, name), name)

    def norm(
        self,
        x: Tensor,
        w: Tensor | None,
        b: Tensor | None = None,
        *,
        kind: str = "rms",
        il: int = -1,
        name: str = "",
    ) -> Tensor:
        """`rms` or `layer` norm with weight and bias.

        Source: llama-graph.cpp, `build_norm`; the unweighted result is what is called "norm" and pinned.
        """
        t = Tensor("RMS_NORM" if kind == "rms" else "NORM", x.type, x.ne, [x], name or "norm")
        if w is not None or b is not None:
            if il >= 0 and self.pin:
                self.pin_to_layer(t, il)
            if w is not None:
                t = Tensor("MUL", t.type, t.ne, [t, w], name or w.name)
            if b is not None:
                t = Tensor("ADD", t.type, t.ne, [t, b], name or b.name)
        return t

    def norm_w(self, x: Tensor, il: int, name: str, *, kind: str = "rms", pin: bool = True) -> Tensor:
        """The norm of block `il` called `name`, with its bias where the file has one."""
        return self.norm(x, self.w(il, name), self.b(il, name), kind=kind, il=il if pin else -1, name=name)

    def pin_to_layer(self, t: Tensor, il: int) -> None:
        """Source: llama-context.cpp, `graph_get_cb` (names `norm` and `l_last`)."""
        if self.pin:
            t.backend = self.shared.layer_backend[il]

    # --- inputs

    def inp_embd(self, *, scale: bool = False) -> Tensor:
        """Token rows; the vector input beside them is allocated although nothing reads it.

        Source: llama-graph.cpp, `build_inp_embd`.
        """
        n_embd_inp = self.n_embd_inp()
        tokens = self.input(I32, self.n_tokens, name="inp_tokens")
        cur = self.get_rows(self.tok_embd(), tokens, "embd")
        if n_embd_inp != self.n_embd:
            cur = self.pad(cur, n_embd_inp - self.n_embd)
        self.expand(cur)
        self.expand(self.input(F32, n_embd_inp, self.n_tokens, name="inp_embd"))
        if n_embd_inp != self.n_embd:
            cur = self.view_2d(cur, self.n_embd, self.n_tokens, 4 * n_embd_inp)
        self.t_inp_embd = cur
        if scale:
            cur = self.scale(cur if cur.nb is None else self.cont(cur), "embd")
        return self.expand(cur)

    def n_embd_inp(self) -> int:
        """Source: llama-hparams.cpp, `n_embd_inp`: deepstack inputs stand beside the embedding."""
        if self.arch in ("granite", "granite_swa"):  # both count the inputs that their layers name
            mapping = self.model.array("deepstack_mapping") or ()
            return self.n_embd * (1 + len({i for i in mapping if isinstance(i, int) and i >= 0}))
        return self.n_embd * (1 + self.model.number("n_deepstack_layers"))

    def inp_pos(self, n_per_token: int = 1) -> Tensor:
        """Positions; multi-dimensional rope has 4 per token."""
        return self.input(I32, self.n_tokens * n_per_token, name="inp_pos")

    def inp_attn_scale(self) -> Tensor:
        return self.input(F32, 1, 1, self.n_tokens, name="inp_attn_scale")

    def inp_out_ids(self) -> Tensor:
        return self.input(I32, self.stage.n_outputs, name="out_ids")

    def kq_mask(self, n_kv: int, *, flash_attn: bool | None = None) -> Tensor:
        """Source: llama-graph.cpp, `build_attn_inp_kq_mask`."""
        fa = self.flash_attn if flash_attn is None else flash_attn
        n_stream = 1 if self.params.kv_unified else self.n_seqs
        return self.input(
            F16 if fa else F32, n_kv, self.n_tokens // n_stream, 1, n_stream, name="attn_inp_kq_mask"
        )

    def k_idxs(self) -> Tensor:
        return self.input(I64, self.n_tokens, name="attn_inp_k_idxs")
