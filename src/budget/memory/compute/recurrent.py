"""Recurrent blocks: how states are read and written, and the state-space layers that several families share.

Source: llama-graph.cpp, `build_rs`; src/models/mamba-base.cpp.
"""

from __future__ import annotations

from collections.abc import Callable

from budget.gguf.types import I32
from budget.memory.compute.graph import Graph
from budget.memory.compute.tensor import Tensor, nelements, strides
from budget.record import record


@record(frozen=False, kw_only=False)
class RsInput:
    """Indices of the states of this batch, and of the others."""

    main: Tensor
    extra: Tensor


class Recurrent(Graph):
    """A graph with recurrent layers."""

    def rs_inp(self) -> RsInput:
        """Source: llama-graph.cpp, `build_rs_inp_impl`; a reserved graph sees all cells."""
        n_rs = self.params.n_seq_max
        s_copy = self.input(I32, n_rs, name="rs_s_copy")
        main = self.view_1d(s_copy, self.n_seqs)
        return RsInput(main, self.view_1d(s_copy, n_rs - self.n_seqs, self.n_seqs * 4))

    def rs(
        self,
        inp: RsInput,
        states_all: Tensor,
        state_size: int,
        *,
        get_rows: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> Tensor:
        """The states of this batch, [state_size, n_seqs], or what `get_rows(states, ids)` makes of them.

        Source: llama-graph.cpp, `build_rs`.
        """
        states = self.reshape(states_all, state_size, states_all.ne[1])
        self.expand(self.scale_inplace(self.view_1d(states, state_size)))
        out = get_rows(states, inp.main) if get_rows is not None else self.get_rows(states, inp.main)
        self.expand(out)
        rest = self.get_rows(states, inp.extra)
        nb1 = strides(states_all)[1]
        n_rest = self.params.n_seq_max - self.n_seqs
        target = self.view_2d(states_all, state_size, n_rest, nb1, self.n_seqs * nb1)
        self.expand(self.cpy(rest, target))
        return out

    def n_states(self) -> int:
        """States kept per sequence: one, and those for rollback (`n_rs_seq`)."""
        return self.params.n_rs_seq + 1 if self.params.n_rs_seq > 0 else 1

    def mamba2(self, inp: RsInput, cur: Tensor, il: int) -> Tensor:
        """Source: src/models/mamba-base.cpp, `build_mamba2_layer`."""
        m, n_seqs, n_t = self.model, self.n_seqs, self.n_seq_tokens
        d_inner, d_state, n_head = (
            m.number("ssm.inner_size"),
            m.number("ssm.state_size"),
            m.number("ssm.time_step_rank"),
        )
        n_group, d_conv = m.number("ssm.group_count"), m.number("ssm.conv_kernel")
        head, channels = d_inner // n_head, d_inner + 2 * n_group * d_state
        conv_all, ssm_all = self.cache(f"cache_r_l{il}"), self.cache(f"cache_s_l{il}")
        conv = self.reshape(self.rs(inp, conv_all, (d_conv - 1) * channels), d_conv - 1, channels, n_seqs)
        both = self.mm(il, "ssm_in", cur)
        both = self.reshape(both, both.ne[0], n_t, n_seqs)
        _, nb1, nb2, _ = strides(both)
        z = self.view_4d(both, head, n_head, n_t, n_seqs, head * 4, nb1, nb2)
        x_bc = self.view_3d(both, channels, n_t, n_seqs, nb1, nb2, d_inner * 4)
        dt = self.view_3d(both, n_head, n_t, n_seqs, nb1, nb2, (d_inner + channels) * 4)
        x_bc = self._mamba2_conv(
            il, self.concat(conv, self.transpose(x_bc), 0), conv_all, (d_conv, channels, n_t)
        )
        _, nb1, nb2, _ = strides(x_bc)
        x = self.view_4d(x_bc, head, n_head, n_t, n_seqs, head * 4, nb1, nb2)
        b = self.view_4d(x_bc, d_state, n_group, n_t, n_seqs, d_state * 4, nb1, nb2, d_inner * 4)
        c = self.view_4d(
            x_bc, d_state, n_group, n_t, n_seqs, d_state * 4, nb1, nb2, (d_inner + n_group * d_state) * 4
        )
        dt_b = self.weight(f"blk.{il}.ssm_dt.bias")
        dt = self.cont(dt) if dt_b is None else self.add(self.cont(dt), dt_b)
        a, k = self.weight(f"blk.{il}.ssm_a"), self.n_states()
        a = a if a is not None else self.w(il, "ssm_a")

        def scan(states: Tensor, ids: Tensor) -> Tensor:
            ssm = self.reshape(states, d_state, head, n_head, ssm_all.ne[1])
            return self.ssm_scan(ssm, x, dt, a, b, c, ids, k)

        y_ssm = self.rs(inp, ssm_all, d_state * d_inner, get_rows=scan)
        self._store_states(y_ssm, ssm_all, d_state * d_inner, min(n_t, k), nelements(x) * 4)
        nb1 = strides(x)[1]
        y = self.view_4d(y_ssm, head, n_head, n_t, n_seqs, nb1, n_head * nb1, n_t * n_head * nb1)
        d = self.weight(f"blk.{il}.ssm_d")
        y = self.add(y, self.mul(x, d if d is not None else self.w(il, "ssm_d")))
        y = self.glu(self.cont(z), y, "swiglu")
        if self.opt(il, "ssm_norm") is not None:
            y = self.norm_w(self.reshape(y, d_inner // n_group, n_group, n_t, n_seqs), il, "ssm_norm")
        y = self.reshape(y, d_inner, n_t * n_seqs)
        return self.mm(il, "ssm_out", y)

    def mamba1(self, inp: RsInput, cur: Tensor, il: int) -> Tensor:
        """Source: src/models/mamba-base.cpp, `build_mamba_layer`."""
        m, n_seqs, n_t = self.model, self.n_seqs, self.n_seq_tokens
        d_inner, d_state, rank = (
            m.number("ssm.inner_size"),
            m.number("ssm.state_size"),
            m.number("ssm.time_step_rank"),
        )
        d_conv = m.number("ssm.conv_kernel")
        conv_all, ssm_all = self.cache(f"cache_r_l{il}"), self.cache(f"cache_s_l{il}")
        conv = self.reshape(self.rs(inp, conv_all, (d_conv - 1) * d_inner), d_conv - 1, d_inner, n_seqs)
        both = self.mm(il, "ssm_in", self.reshape(cur, cur.ne[0], n_t, n_seqs))
        _, nb1, nb2, _ = strides(both)
        x = self.view_3d(both, d_inner, n_t, n_seqs, nb1, nb2)
        z = self.view_3d(both, d_inner, n_t, n_seqs, nb1, nb2, d_inner * 4)
        x = self.mamba1_conv(il, self.concat(conv, self.transpose(x), 0), conv_all, d_conv, d_inner)
        mixed = self.mul_mat(self.w(il, "ssm_x"), x)
        _, nb1, nb2, _ = strides(mixed)
        dt = self.view_3d(mixed, rank, n_t, n_seqs, nb1, nb2)
        b = self.view_4d(mixed, d_state, 1, n_t, n_seqs, d_state * 4, nb1, nb2, rank * 4)
        c = self.view_4d(mixed, d_state, 1, n_t, n_seqs, d_state * 4, nb1, nb2, (rank + d_state) * 4)
        norms = [self.opt(il, name) for name in ("ssm_dt_norm", "ssm_b_norm", "ssm_c_norm")]
        if m.key("ssm.dt_b_c_rms") or all(w is not None for w in norms):
            dt, b, c = (self.norm(t, w, il=il) for t, w in zip((dt, b, c), norms, strict=True))
        else:
            dt = self.cont(dt)
        dt = self.add(self.mul_mat(self.w(il, "ssm_dt"), dt), self.named(f"blk.{il}.ssm_dt.bias"))
        heads = self.reshape(x, 1, d_inner, n_t, n_seqs)
        a = self.named(f"blk.{il}.ssm_a")
        y_ssm = self.scan_once(inp, ssm_all, (d_state, 1, d_inner), heads, dt, a, b, c)
        y = self.view_3d(y_ssm, d_inner, n_t, n_seqs, d_inner * 4, d_inner * n_t * 4)
        y = self.add(y, self.mul(x, self.named(f"blk.{il}.ssm_d")))
        y = self.mm(il, "ssm_out", self.glu(self.cont(z), y, "swiglu"))
        return self.reshape(y, y.ne[0], n_t * n_seqs)

    def mamba1_conv(self, il: int, conv_x: Tensor, conv_all: Tensor, d_conv: int, channels: int) -> Tensor:
        """Convolution, bias if any, activation; keeps the last columns."""
        _, nb1, nb2, _ = strides(conv_x)
        last = self.view_3d(conv_x, d_conv - 1, channels, self.n_seqs, nb1, nb2, self.n_seq_tokens * 4)
        self.expand(self.cpy(last, self.view_1d(conv_all, (d_conv - 1) * channels * self.n_seqs)))
        x = self.ssm_conv(conv_x, self.w(il, "ssm_conv1d"), "ssm_conv")
        bias = self.b(il, "ssm_conv1d")
        return self.unary("silu", x if bias is None else self.add(x, bias))

    def scan_once(
        self, inp: RsInput, ssm_all: Tensor, sizes: tuple[int, int, int], x: Tensor, *src: Tensor
    ) -> Tensor:
        """A scan that keeps the last state alone; `sizes` are state, head and heads, `src` is dt, A, B, C."""
        d_state, head, n_head = sizes
        size = d_state * head * n_head
        dt, a, b, c = src

        def scan(states: Tensor, ids: Tensor) -> Tensor:
            ssm = self.reshape(states, d_state, head, n_head, ssm_all.ne[1])
            return self.ssm_scan(ssm, x, dt, a, b, c, ids)

        y = self.rs(inp, ssm_all, size, get_rows=scan)
        new = self.view_1d(y, size * self.n_seqs, nelements(x) * 4)
        self.expand(self.cpy(new, self.view_1d(ssm_all, size * self.n_seqs)))
        return y

    def _mamba2_conv(self, il: int, conv_x: Tensor, conv_all: Tensor, sizes: tuple[int, int, int]) -> Tensor:
        d_conv, channels, n_t = sizes
        _, nb1, nb2, _ = strides(conv_x)
        rows = (d_conv - 1) * channels
        for slot in range(min(n_t, self.n_states())):
            last = self.view_3d(conv_x, d_conv - 1, channels, self.n_seqs, nb1, nb2, (n_t - slot) * 4)
            offset = slot * self.params.n_seq_max * rows * 4
            target = self.view_2d(conv_all, rows, self.n_seqs, strides(conv_all)[1], offset)
            self.expand(self.cpy(last, target))
        x = self.ssm_conv(conv_x, self.w(il, "ssm_conv1d"), "ssm_conv")
        bias = self.b(il, "ssm_conv1d")
        return self.unary("silu", x if bias is None else self.add(x, bias))

    def _store_states(self, y: Tensor, states_all: Tensor, size: int, n_written: int, offset: int) -> None:
        """Copy the new states from behind the output into the cache."""
        row, n_seqs = size * 4, self.n_seqs
        source = self.view_3d(y, size, n_seqs, n_written, row, row * n_seqs, offset)
        target = self.view_3d(
            states_all, size, n_seqs, n_written, strides(states_all)[1], self.params.n_seq_max * row
        )
        self.expand(self.cpy(source, target))
