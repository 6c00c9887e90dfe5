"""ggml's operations as shape rules: each method makes the tensor that llama.cpp's graph has in that place.

Source: ggml.c, the function of the same name. Only what decides memory is kept: type, shape, strides, sources.
"""

from __future__ import annotations

from budget.errors import BadModelError
from budget.gguf.types import F32, I32, GGMLType
from budget.memory.compute.tensor import Shape, Tensor, is_contiguous, nelements, row_size, strides


class ShapeError(BadModelError):
    """Tensors of the file that cannot be combined the way the architecture does it."""


class Ops:
    """A graph under construction: nodes in execution order, leaves in the order of their first visit."""

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.leafs: list[Tensor] = []

    def expand(self, t: Tensor) -> Tensor:
        """Append `t` and everything it needs that is not in the graph yet.

        Source: ggml.c, `ggml_build_forward_expand`: depth first, sources left to right, node after its sources.
        """
        if t.visited:
            return t
        t.visited = True
        for s in t.src:
            if not s.visited:
                self.expand(s)
            s.uses += 1
        if t.op == "NONE":
            self.leafs.append(t)
        else:
            self.nodes.append(t)
        return t

    # --- leaves

    def new(
        self, type_: GGMLType, ne0: int, ne1: int = 1, ne2: int = 1, ne3: int = 1, name: str = ""
    ) -> Tensor:
        """A leaf that the graph itself has to allocate."""
        return Tensor("NONE", type_, (ne0, ne1, ne2, ne3), [], name)

    def input(
        self, type_: GGMLType, ne0: int, ne1: int = 1, ne2: int = 1, ne3: int = 1, name: str = ""
    ) -> Tensor:
        """A leaf that the caller fills before each run; it starts on the CPU."""
        t = Tensor("NONE", type_, (ne0, ne1, ne2, ne3), [], name)
        t.is_input = True
        return t

    # --- views

    def _view(
        self, op: str, a: Tensor, ne: Shape, nb: tuple[int, int, int, int] | None, offset: int
    ) -> Tensor:
        t = Tensor(op, a.type, ne, [a], a.name)
        t.nb = nb
        t.view_src = a.view_src or a
        t.view_offs = a.view_offs + offset
        return t

    def view_1d(self, a: Tensor, ne0: int, offset: int = 0) -> Tensor:
        return self._view("VIEW", a, (ne0, 1, 1, 1), None, offset)

    def view_2d(self, a: Tensor, ne0: int, ne1: int, nb1: int, offset: int = 0) -> Tensor:
        nb2 = nb1 * ne1
        return self._view("VIEW", a, (ne0, ne1, 1, 1), (a.type.block_bytes, nb1, nb2, nb2), offset)

    def view_3d(self, a: Tensor, ne0: int, ne1: int, ne2: int, nb1: int, nb2: int, offset: int = 0) -> Tensor:
        return self._view("VIEW", a, (ne0, ne1, ne2, 1), (a.type.block_bytes, nb1, nb2, nb2 * ne2), offset)

    def view_4d(
        self, a: Tensor, ne0: int, ne1: int, ne2: int, ne3: int, nb1: int, nb2: int, nb3: int, offset: int = 0
    ) -> Tensor:
        return self._view("VIEW", a, (ne0, ne1, ne2, ne3), (a.type.block_bytes, nb1, nb2, nb3), offset)

    def view_of(self, a: Tensor, op: str, src: list[Tensor]) -> Tensor:
        """The result of an operation that writes into `a` (set_rows, cpy, the in-place variants)."""
        t = Tensor(op, a.type, a.ne, src, a.name)
        t.nb = a.nb
        t.view_src = a.view_src or a
        t.view_offs = a.view_offs
        return t

    def reshape(self, a: Tensor, ne0: int, ne1: int = 1, ne2: int = 1, ne3: int = 1) -> Tensor:
        ne = a.ne
        if ne[0] * ne[1] * ne[2] * ne[3] != ne0 * ne1 * ne2 * ne3:
            raise ShapeError(f"{a.name}: {ne} cannot become {(ne0, ne1, ne2, ne3)}")
        return self._view("RESHAPE", a, (ne0, ne1, ne2, ne3), None, 0)

    def permute(self, a: Tensor, axis0: int, axis1: int, axis2: int, axis3: int) -> Tensor:
        """`axis0` is where dimension 0 goes."""
        ne, nb = [0, 0, 0, 0], [0, 0, 0, 0]
        a_ne, a_nb = a.ne, strides(a)
        ne[axis0], ne[axis1], ne[axis2], ne[axis3] = a_ne
        nb[axis0], nb[axis1], nb[axis2], nb[axis3] = a_nb
        return self._view("PERMUTE", a, (ne[0], ne[1], ne[2], ne[3]), (nb[0], nb[1], nb[2], nb[3]), 0)

    def transpose(self, a: Tensor) -> Tensor:
        ne, nb = a.ne, strides(a)
        return self._view("TRANSPOSE", a, (ne[1], ne[0], ne[2], ne[3]), (nb[1], nb[0], nb[2], nb[3]), 0)

    # --- products

    def mul_mat(self, w: Tensor, x: Tensor, name: str = "") -> Tensor:
        w_ne, x_ne = w.ne, x.ne
        if w_ne[0] != x_ne[0]:
            raise ShapeError(f"{w.name or name}: rows of {w_ne[0]} times columns of {x_ne[0]}")
        return Tensor("MUL_MAT", F32, (w_ne[1], x_ne[1], x_ne[2], x_ne[3]), [w, x], name or w.name)

    def mul_mat_id(self, w: Tensor, x: Tensor, ids: Tensor, name: str = "") -> Tensor:
        if w.ne[0] != x.ne[0]:
            raise ShapeError(f"{w.name or name}: rows of {w.ne[0]} times columns of {x.ne[0]}")
        return Tensor("MUL_MAT_ID", F32, (w.ne[1], ids.ne[0], x.ne[2], 1), [w, x, ids], name or w.name)

    # --- element by element

    def _like(self, op: str, src: list[Tensor], name: str) -> Tensor:
        a = src[0]
        return Tensor(op, a.type, a.ne, src, name or a.name)

    def add(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        if a.ne != b.ne and any(n % m for n, m in zip(a.ne, b.ne, strict=True)):
            raise ShapeError(f"{name or a.name}: {b.ne} cannot be added to {a.ne}")
        return Tensor("ADD", a.type, a.ne, [a, b], name or a.name)

    def sub(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        return self._like("SUB", [a, b], name)

    def mul(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        return Tensor("MUL", a.type, a.ne, [a, b], name or a.name)

    def div(self, a: Tensor, b: Tensor, name: str = "") -> Tensor:
        return self._like("DIV", [a, b], name)

    def add_id(self, a: Tensor, b: Tensor, ids: Tensor, name: str = "") -> Tensor:
        return self._like("ADD_ID", [a, b, ids], name)

    def scale(self, a: Tensor, name: str = "") -> Tensor:
        return self._like("SCALE", [a], name)

    def scale_inplace(self, a: Tensor) -> Tensor:
        return self.view_of(a, "SCALE", [a])

    def clamp(self, a: Tensor, name: str = "") -> Tensor:
        return self._like("CLAMP", [a], name)

    def sqr(self, a: Tensor, name: str = "") -> Tensor:
        return self._like("SQR", [a], name)

    def sqrt(self, a: Tensor, name: str = "") -> Tensor:
        return self._like("SQRT", [a], name)

    def unary(self, function: str, a: Tensor, name: str = "") -> Tensor:
        """`silu gelu relu tanh sigmoid softplus exp neg ...`."""
        t = Tensor("UNARY", a.type, a.ne, [a], name or a.name)
        t.param = function
        return t

    def glu(self, a: Tensor, b: Tensor | None = None, name: str = "") -> Tensor:
        """Gated unit: of two tensors, or of the halves of one."""
        if b is not None:
            return Tensor("GLU", a.type, a.ne, [a, b], name or a.name)
        return Tensor("GLU", a.type, (a.ne[0] // 2, *a.ne[1:]), [a], name or a.name)

    def fill(self, a: Tensor, name: str = "") -> Tensor:
        return self._like("FILL", [a], name)

    def op(self, op: str, *src: Tensor, name: str = "") -> Tensor:
        """Any other operation whose result is like its first source: `TRI CUMSUM ROLL LOG SIN ...`."""
        return self._like(op, list(src), name)

    # --- rows

    def rms_norm(self, a: Tensor, name: str = "norm") -> Tensor:
        return Tensor("RMS_NORM", a.type, a.ne, [a], name)

    def layer_norm(self, a: Tensor, name: str = "norm") -> Tensor:
        return Tensor("NORM", a.type, a.ne, [a], name)

    def l2_norm(self, a: Tensor, name: str = "norm") -> Tensor:
        return Tensor("L2_NORM", a.type, a.ne, [a], name)

    def soft_max(
        self, a: Tensor, mask: Tensor | None = None, sinks: Tensor | None = None, name: str = ""
    ) -> Tensor:
        t = self._like("SOFT_MAX", [s for s in (a, mask, sinks) if s is not None], name)
        t.param = "plain" if mask is None and sinks is None else "masked"
        return t

    def sum_rows(self, a: Tensor, name: str = "") -> Tensor:
        return Tensor("SUM_ROWS", a.type, (1, *a.ne[1:]), [a], name or a.name)

    def mean(self, a: Tensor, name: str = "") -> Tensor:
        return Tensor("MEAN", F32, (1, *a.ne[1:]), [a], name or a.name)

    def argsort(self, a: Tensor, name: str = "") -> Tensor:
        return Tensor("ARGSORT", I32, a.ne, [a], name or a.name)

    def argsort_top_k(self, a: Tensor, k: int, name: str = "") -> Tensor:
        """The `k` best as a view of the whole order."""
        if a.ne[0] < k:
            raise ShapeError(f"{name or a.name}: the {k} best of {a.ne[0]}")
        t = self.argsort(a, name)
        ne, nb = t.ne, strides(t)
        return self.view_4d(t, k, ne[1], ne[2], ne[3], nb[1], nb[2], nb[3])

    def top_k(self, a: Tensor, k: int, name: str = "") -> Tensor:
        return Tensor("TOP_K", I32, (k, *a.ne[1:]), [a], name or a.name)

    def get_rows(self, a: Tensor, ids: Tensor, name: str = "") -> Tensor:
        type_ = I32 if a.type is I32 else F32
        return Tensor("GET_ROWS", type_, (a.ne[0], ids.ne[0], ids.ne[1], ids.ne[2]), [a, ids], name or a.name)

    def set_rows(self, a: Tensor, b: Tensor, ids: Tensor) -> Tensor:
        return self.view_of(a, "SET_ROWS", [b, ids, a])

    # --- copies

    def cpy(self, a: Tensor, b: Tensor) -> Tensor:
        """Copy into `b`."""
        return self.view_of(b, "CPY", [a, b])

    def cast(self, a: Tensor, type_: GGMLType, name: str = "") -> Tensor:
        t = Tensor("CPY", type_, a.ne, [a], name or a.name)
        t.src.append(t)  # ggml_cast makes the result its own second source
        return t

    def dup(self, a: Tensor, name: str = "") -> Tensor:
        return self._like("DUP", [a], name)

    def cont(
        self, a: Tensor, ne0: int = 0, ne1: int = 1, ne2: int = 1, ne3: int = 1, name: str = ""
    ) -> Tensor:
        """A contiguous copy, with another shape if one is given."""
        ne = (ne0, ne1, ne2, ne3) if ne0 else a.ne
        return Tensor("CONT", a.type, ne, [a], name or a.name)

    def concat(self, a: Tensor, b: Tensor, dim: int, name: str = "") -> Tensor:
        ne = list(a.ne)
        ne[dim] += b.ne[dim]
        t = Tensor("CONCAT", a.type, (ne[0], ne[1], ne[2], ne[3]), [a, b], name or a.name)
        t.param = dim
        return t

    def repeat(self, a: Tensor, ne0: int, ne1: int, ne2: int = 1, ne3: int = 1, name: str = "") -> Tensor:
        return Tensor("REPEAT", a.type, (ne0, ne1, ne2, ne3), [a], name or a.name)

    def pad(self, a: Tensor, p0: int, p1: int = 0, p2: int = 0, p3: int = 0, name: str = "") -> Tensor:
        ne = (a.ne[0] + p0, a.ne[1] + p1, a.ne[2] + p2, a.ne[3] + p3)
        return Tensor("PAD", a.type, ne, [a], name or a.name)

    # --- attention

    def rope(self, a: Tensor, pos: Tensor, factors: Tensor | None = None, name: str = "") -> Tensor:
        return Tensor(
            "ROPE", a.type, a.ne, [a, pos] if factors is None else [a, pos, factors], name or a.name
        )

    def rope_back(self, a: Tensor, pos: Tensor) -> Tensor:
        """The rotation undone."""
        return Tensor("ROPE_BACK", a.type, a.ne, [a, pos], a.name)

    def mul_mat_hadamard(self, a: Tensor, rot: Tensor) -> Tensor:
        """Rotate the heads of a quantised cache (`llama_mul_mat_hadamard`)."""
        n, ne = rot.ne[0], a.ne
        flat = (
            self.reshape(a, n, nelements(a) // n) if is_contiguous(a) else self.cont(a, n, nelements(a) // n)
        )
        t = self.mul_mat(rot, flat, "hadamard")
        t.param = "hadamard"
        return self.reshape(t, ne[0], ne[1], ne[2], ne[3])

    # --- recurrent layers

    def ssm_conv(self, sx: Tensor, c: Tensor, name: str = "") -> Tensor:
        ne = (c.ne[1], sx.ne[0] - c.ne[0] + 1, sx.ne[2], 1)
        return Tensor("SSM_CONV", F32, ne, [sx, c], name)

    def ssm_scan(
        self, s: Tensor, x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, ids: Tensor, k: int = 1
    ) -> Tensor:
        n = nelements(x) + k * s.ne[0] * s.ne[1] * s.ne[2] * ids.ne[0]
        t = Tensor("SSM_SCAN", F32, (n, 1, 1, 1), [s, x, dt, a, b, c, ids], "ssm_scan")
        t.param = k
        return t

    def gated_delta_net(
        self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor, n_states: int = 1
    ) -> Tensor:
        s, h, n_tokens, n_seqs = v.ne
        ne = (s * h, n_tokens * n_seqs + n_states * s * n_seqs, 1, 1)
        return Tensor("GATED_DELTA_NET", F32, ne, [q, k, v, g, beta, state], "gated_delta_net")

    def wkv(self, op: str, state: Tensor, heads: Tensor, *src: Tensor) -> Tensor:
        """`RWKV_WKV6 RWKV_WKV7 GATED_LINEAR_ATTN`; `heads` has the shape [head size, heads, tokens]."""
        s, h, n_tokens, _ = heads.ne
        return Tensor(op, F32, (s * h, n_tokens + s * state.ne[1], 1, 1), [*src, state], op.lower())

    def row_bytes(self, t: Tensor, n: int) -> int:
        """Bytes of `n` elements of the type of `t` (`ggml_row_size`)."""
        return row_size(t.type, n)

    # --- sparse attention

    def lightning_indexer(self, q: Tensor, k: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        """Scores of all cached tokens: q [size, heads, tokens, streams], k [size, 1, cells, streams]."""
        ne = (k.ne[2], q.ne[2], 1, q.ne[3])
        return Tensor("LIGHTNING_INDEXER", F32, ne, [q, k, weights, mask], "indexer_score")

    # --- hyper-connections

    def hc_pre(self, x: Tensor, weights: Tensor) -> Tensor:
        """Streams [n, streams, tokens] summed with their weights; a gate as large as `x` counts as weights too.

        Source: ggml.c, `ggml_dsv4_hc_pre`, `ggml_dsv4_hc_pre_gated`.
        """
        return Tensor("DSV4_HC_PRE", F32, (x.ne[0], x.ne[2], 1, 1), [x, weights], "hc_pre")

    def hc_post(self, x: Tensor, streams: Tensor, weights: Tensor, comb: Tensor | None = None) -> Tensor:
        """`x` [n, tokens] added to each stream."""
        src = [s for s in (x, streams, weights, comb) if s is not None]
        return Tensor("DSV4_HC_POST", F32, (x.ne[0], streams.ne[1], x.ne[1], 1), src, "hc_post")

    def hc_comb(self, mixes: Tensor, scale: Tensor, base: Tensor, n: int) -> Tensor:
        """How the `n` streams mix with each other, [n, n, tokens]."""
        return Tensor("DSV4_HC_COMB", F32, (n, n, mixes.ne[1], 1), [mixes, scale, base], "hc_comb")

    def pool_2d(self, a: Tensor, width: int, height: int = 1, name: str = "") -> Tensor:
        """The largest of each block, blocks side by side and nothing padded."""
        ne = ((a.ne[0] - width) // width + 1, (a.ne[1] - height) // height + 1, a.ne[2], a.ne[3])
        return Tensor("POOL_2D", F32, ne, [a], name or a.name)

    def arange(self, n: int) -> Tensor:
        return Tensor("ARANGE", F32, (n, 1, 1, 1), [], "arange")

    def add_inplace(self, a: Tensor, b: Tensor) -> Tensor:
        return self.view_of(a, "ADD", [a, b])
