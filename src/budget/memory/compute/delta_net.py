"""Gated delta net: linear attention whose state is a matrix per head.

Source: src/models/delta-net-base.cpp. It always runs as one operation: the plain forms, chunk by chunk or token by
token, are for contexts whose flag is off, and llama-context.cpp sets it for all.
"""

from __future__ import annotations

from budget.memory.compute.recurrent import Recurrent, RsInput
from budget.memory.compute.tensor import Tensor, strides


class DeltaNet(Recurrent):
    """A graph with gated delta nets."""

    def delta_conv(
        self, inp: RsInput, conv_all: Tensor, x: Tensor, n_kept: int, *, contiguous: bool = False
    ) -> Tensor:
        """`x` [channels, tokens, seqs] behind the last `n_kept` tokens of its sequences; writes the new ones.

        Args:
            contiguous: the new last tokens are made contiguous before they are written.

        Source: `build_conv_state`; qwen4exp.cpp, `build_conv_state_at`.
        """
        channels, n_seqs = x.ne[0], self.n_seqs
        rows = n_kept * channels
        conv = self.reshape(self.rs(inp, conv_all, rows), n_kept, channels, n_seqs)
        both = self.concat(conv, self.transpose(x), 0, "conv_input")
        _, nb1, nb2, _ = strides(both)
        for slot in reversed(range(self.n_states())):
            first = max(0, both.ne[0] - n_kept - slot)
            last = self.view_3d(both, n_kept, channels, n_seqs, nb1, nb2, first * 4)
            offset = slot * self.params.n_seq_max * rows * 4
            target = self.view_2d(conv_all, rows, n_seqs, strides(conv_all)[1], offset)
            self.expand(self.cpy(self.cont(last) if contiguous else last, target))
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
    ) -> Tensor:
        """Attention [head, heads, tokens, seqs] of `q` and `k` [head, heads_k, tokens, seqs]; writes the state.

        Args:
            g: decay, [1 or head, heads, tokens, seqs].
            beta: [1, heads, tokens, seqs].
            state: [head, head, heads, seqs] as `rs` gives it.

        Source: `build_recurrent_attn`.
        """
        n_states = self.n_states()
        head, heads, n_t, n_seqs = v.ne
        row, size = head * 4, head * head * heads
        out = self.gated_delta_net(q, k, v, g, beta, state, n_states)
        y = self.view_4d(out, head, heads, n_t, n_seqs, row, row * heads, row * heads * n_t)
        behind = row * heads * n_t * n_seqs
        if self.params.n_rs_seq > 0:
            self._store_states(out, state_all, size, min(n_t, n_states), behind)
            return y
        new = self.view_4d(out, head, head, heads, n_seqs, row, row * head, row * head * heads, behind)
        self.expand(self.cpy(new, self.view_2d(state_all, size, n_seqs, strides(state_all)[1])))
        return y
