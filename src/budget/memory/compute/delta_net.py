"""Gated delta net: linear attention whose state is a matrix per head.

Source: src/models/delta-net-base.cpp.
"""

from __future__ import annotations

from budget.memory.compute.recurrent import Recurrent, RsInput
from budget.memory.compute.tensor import Tensor, strides

CHUNK_TOKENS = 64
"""Tokens of a chunk where the decay is one number per head ..."""
CHUNK_TOKENS_KDA = 16
"""... and where it is one per channel (`build_delta_net_chunking`)."""


class DeltaNet(Recurrent):
    """A graph with gated delta nets."""

    def delta_conv(self, inp: RsInput, conv_all: Tensor, qkv: Tensor, kernel: int, channels: int) -> Tensor:
        """`qkv` [channels, tokens, seqs] behind the last tokens of its sequences; writes the new ones.

        Source: `build_conv_state`.
        """
        rows, n_seqs = (kernel - 1) * channels, self.n_seqs
        conv = self.reshape(self.rs(inp, conv_all, rows), kernel - 1, channels, n_seqs)
        both = self.concat(conv, self.transpose(qkv), 0, "conv_input")
        _, nb1, nb2, _ = strides(both)
        n_states = self.n_states()
        for t in range(1, n_states + 1):
            first = max(0, both.ne[0] - conv.ne[0] - n_states + t)
            last = self.view_3d(both, kernel - 1, channels, n_seqs, nb1, nb2, first * 4)
            offset = (n_states - t) * self.params.n_seq_max * rows * 4
            target = self.view_2d(conv_all, rows, n_seqs, strides(conv_all)[1], offset)
            self.expand(self.cpy(last, target))
        return both

    def delta_net(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        g: Tensor,
        beta: Tensor,
        state: Tensor,
        state_all: Tensor,
        il: int,
    ) -> Tensor:
        """Attention [head, heads, tokens, seqs] of `q` and `k` [head, heads_k, tokens, seqs]; writes the state.

        Args:
            g: decay, [1 or head, heads, tokens, seqs].
            beta: [1, heads, tokens, seqs].
            state: [head, head, heads, seqs] as `rs` gives it.

        Source: `build_recurrent_attn`.
        """
        n_states, n_t = self.n_states(), q.ne[2]
        head, heads, n_seqs = state.ne[0], state.ne[2], state.ne[3]
        size = head * head * heads
        if self.params.n_rs_seq > 0:
            out = self._fused_delta(q, k, v, g, beta, state, il, n_states)
            y = self._delta_output(out, v)
            self._store_states(out, state_all, size, min(n_t, n_states), head * heads * n_t * n_seqs * 4)
            return y
        y, new = self._delta_step(q, k, v, g, beta, state, il)
        self.expand(self.cpy(new, self.view_2d(state_all, size, n_seqs, strides(state_all)[1])))
        return y

    def _delta_step(
        self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor, il: int
    ) -> tuple[Tensor, Tensor]:
        """Output and new state. Source: `build_delta_net`."""
        single = q.ne[2] == 1
        if self.stage.fused_gdn_ar if single else self.stage.fused_gdn_ch:
            out = self._fused_delta(q, k, v, g, beta, state, il, 1)
            head, heads, n_t, n_seqs = v.ne
            row = head * 4
            new = self.view_4d(
                out, head, head, heads, n_seqs, row, row * head, row * head * heads, row * heads * n_t * n_seqs
            )
            return self._delta_output(out, v), new
        return (self._delta_single if single else self._delta_chunks)(q, k, v, g, beta, state)

    def _fused_delta(
        self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor, il: int, n_states: int
    ) -> Tensor:
        out = self.gated_delta_net(q, k, v, g, beta, state, n_states)
        self.add_fused("gdn_ar" if q.ne[2] == 1 else "gdn_ch", out, il)
        return out

    def _delta_output(self, out: Tensor, v: Tensor) -> Tensor:
        head, heads, n_t, n_seqs = v.ne
        row = head * 4
        return self.view_4d(out, head, heads, n_t, n_seqs, row, row * heads, row * heads * n_t)

    def _delta_single(
        self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One token per sequence. Source: `build_delta_net_autoregressive`."""
        heads, n_seqs = v.ne[1], q.ne[3]
        q = self.permute(self.scale(q), 0, 2, 1, 3)
        k = self.permute(k, 0, 2, 1, 3)
        v = self.permute(v, 0, 2, 1, 3)
        g = self.unary("exp", self.reshape(g, 1, g.ne[0], heads, n_seqs))
        beta = self.reshape(beta, 1, 1, heads, n_seqs)
        state = self.mul(state, g)
        known = self.sum_rows(self.mul(state, k))
        change = self.mul(self.sub(v, self.transpose(known)), beta)
        keys = self.repeat(k, *state.ne)
        state = self.add(state, self.mul(keys, self.transpose(change)))
        out = self.sum_rows(self.mul(state, q))
        return self.permute(out, 2, 0, 1, 3), state

    def _delta_chunks(
        self, q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Many tokens, chunk by chunk. Source: `build_delta_net_chunking`."""
        head, heads_k, n_tokens, n_seqs = q.ne
        heads = v.ne[1]
        per_channel = g.ne[0] == head and g.ne[1] == heads_k
        size = CHUNK_TOKENS_KDA if per_channel else CHUNK_TOKENS
        pad = -n_tokens % size
        n_chunks = (n_tokens + pad) // size
        q = self.scale(q)
        q, k, v, g, beta = (self.permute(t, 0, 2, 1, 3) for t in (q, k, v, g, beta))
        q, k, v, g, beta = (self.pad(t, 0, pad) for t in (q, k, v, g, beta))
        v_beta, k_beta = self.mul(v, beta), self.mul(k, beta)
        q, k, k_beta, v_beta, g = (
            self.reshape(t, t.ne[0], size, n_chunks, t.ne[2] * n_seqs) for t in (q, k, k_beta, v_beta, g)
        )
        g_sum = self.op("CUMSUM", self._turned(g))
        kb, kq = (self._decayed_kda if per_channel else self._decayed)(q, k, k_beta, g_sum)
        kq = self.op("TRI", kq)
        attn = self._solved(self.op("TRI", kb), size)
        v = self.mul_mat(self._turned(v_beta), attn)
        g_exp = self.unary("exp", g_sum)
        k_decayed = self.mul_mat(self.mul(self._turned(k_beta), g_exp), attn)
        q_decayed = self.mul(q, self._turned(g_exp))
        ne, (nb0, nb1, nb2, nb3) = g_sum.ne, strides(g_sum)
        last = self.cont(self.view_4d(g_sum, 1, ne[1], ne[2], ne[3], nb1, nb2, nb3, (ne[0] - 1) * nb0))
        last_exp = self.transpose(self.unary("exp", last))
        rest = self.unary("exp", self.unary("neg", self.sub(g_sum, last)))
        k_rest = self._turned(self.mul(k, self._turned(rest)))
        state = self.reshape(state, head, head, 1, heads * n_seqs)
        v_turned = self._turned(v)
        for chunk in range(n_chunks):
            new = self.sub(
                self._slice(v_turned, chunk), self.mul_mat(self._slice(k_decayed, chunk), state), "v_new"
            )
            within = self.mul_mat(new, self._slice(kq, chunk))
            out = self.add(self.mul_mat(state, self._slice(q_decayed, chunk)), within)
            v = self.view_of(v, "SET", [v, out])
            update = self.mul_mat(self._slice(k_rest, chunk), new)
            state = self.add(self.mul(state, self._slice(last_exp, chunk)), update)
        row = head * 4
        seq = row * size * n_chunks
        out = self.permute(self.view_4d(v, head, n_tokens, heads, n_seqs, row, seq, seq * heads), 0, 2, 1, 3)
        return out, self.reshape(state, head, head, heads, n_seqs)

    def _turned(self, t: Tensor) -> Tensor:
        return self.cont(self.transpose(t))

    def _slice(self, t: Tensor, chunk: int) -> Tensor:
        ne, nb = t.ne, strides(t)
        return self.view_4d(t, ne[0], ne[1], 1, ne[3], nb[1], nb[2], nb[3], nb[2] * chunk)

    def _decayed(self, q: Tensor, k: Tensor, k_beta: Tensor, g_sum: Tensor) -> tuple[Tensor, Tensor]:
        """Products of keys with keys and with queries inside a chunk, each with its decay."""
        size, _, n_chunks, n = g_sum.ne
        later = self.repeat(self.reshape(g_sum, 1, size, n_chunks, n), size, size, n_chunks, n)
        decay = self.unary("exp", self.op("TRI", self.sub(later, g_sum)))
        return self.mul(self.mul_mat(k, k_beta), decay), self.mul(self.mul_mat(k, q), decay)

    def _decayed_kda(self, q: Tensor, k: Tensor, k_beta: Tensor, g_sum: Tensor) -> tuple[Tensor, Tensor]:
        """The same with a decay per channel."""
        size, head, n_chunks, n = g_sum.ne
        flat = n_chunks * n
        earlier = self.reshape(g_sum, size, 1, head, flat)
        later = self.repeat(self.reshape(g_sum, 1, size, head, flat), size, size, head, flat)
        decay = self.unary("exp", self.op("TRI", self.sub(later, earlier)))
        decay = self.cont(self.permute(decay, 2, 1, 0, 3), head, size, size, flat)
        by_key = self.reshape(k_beta, head, size, 1, flat)
        keys = self.reshape(k, head, 1, size, flat)
        by_query = self.reshape(q, head, size, 1, flat)
        kb = self.mul(decay, by_key)
        kq = self.mul(decay, by_query)
        return (
            self._turned(self.reshape(self.mul_mat(kb, keys), size, size, n_chunks, n)),
            self._turned(self.reshape(self.mul_mat(kq, keys), size, size, n_chunks, n)),
        )

    def _solved(self, attn: Tensor, size: int) -> Tensor:
        """The inverse of one plus a strict lower triangle."""
        one = self.diag(self.fill(self.view_1d(attn, size)))
        both = self.add(attn, one)
        return self.add(self.solve_tri(both, self.unary("neg", attn)), one)
