"""Feed-forward blocks: dense, and mixtures of experts.

Source: llama-graph.cpp, `build_ffn`, `build_moe_ffn`.
"""

from __future__ import annotations

from budget.gguf.types import F32, I32
from budget.memory.compute.graph import Graph
from budget.memory.compute.tensor import Tensor, strides

_FUSED = {"swiglu", "geglu", "reglu"}
"""One matrix makes both halves."""
_GATED = {"silu", "gelu", "relu", "swiglu_oai"}
"""With a parallel gate these become one GLU operation."""
_EPS = 1e-6
SRC1_F32 = "src1 f32"
"""The second operand of this product may not be rounded (`ggml_prec_set_src`)."""
_SWIGLU_CLAMP_SHEXP = frozenset({"deepseek4", "glm5-next"})
_SWIGLU_CLAMP_EXP = frozenset({"maple", "deepseek4", "glm5-next", "hy_v4"})
"""Architectures that limit the gate inside the GLU operation instead of with clamps around it."""


class FeedForward(Graph):
    """A graph with feed-forward blocks."""

    def ffn(
        self,
        il: int,
        cur: Tensor,
        act: str = "silu",
        *,
        up: str = "ffn_up",
        gate: str = "ffn_gate",
        down: str = "ffn_down",
        parallel: bool = True,
        scales: bool = False,
        biases: bool = True,
        act_scale: Tensor | None = None,
        n_layer_arg: int | None = None,
    ) -> Tensor:
        """A dense block with the tensors that the file has.

        Args:
            act: `silu gelu relu relu_sqr swiglu geglu reglu swiglu_oai`; the middle three split one matrix.
            up, gate, down: names in block `il`; empty where the builder passes none.
            parallel: the gate works on the input (LLM_FFN_PAR), not on the output of `up` (LLM_FFN_SEQ).
            scales: the builder passes the scales of NVFP4 files.
            biases: the builder passes the biases that the file may have.
            n_layer_arg: the layer number the builder passes, where it is not `il`.
        """
        w_up = self.opt(il, up) if up else None
        w_gate = self.opt(il, gate) if gate else None
        tmp = cur if w_up is None else self._ffn_mm(il, up, w_up, cur, scales=scales, biases=biases)
        x = cur if parallel else tmp
        cur = tmp if w_gate is None else self._ffn_mm(il, gate, w_gate, x, scales=scales, biases=biases)
        limit = self._limit("shexp", il if n_layer_arg is None else n_layer_arg)
        gated = w_gate is not None and parallel
        cur = self._activate(act, cur, tmp, gated=gated, act_scale=act_scale, limit=limit)
        w_down = self.opt(il, down) if down else None
        if w_down is None:
            return cur
        return self._ffn_mm(il, down, w_down, cur, scales=scales, biases=biases)

    def _ffn_mm(self, il: int, name: str, w: Tensor, x: Tensor, *, scales: bool, biases: bool) -> Tensor:
        t = self.mul_mat(w, x, name)
        bias = self.b(il, name) if biases else None
        if bias is not None:
            t = self.add(t, bias)
        scale = self.s(il, name) if scales else None
        return t if scale is None else self.mul(t, scale)

    def _limit(self, kind: str, il: int) -> float:
        """`swiglu_clamp_exp` or `swiglu_clamp_shexp` of a layer; 0 without."""
        if il < 0:
            return 0.0
        name = f"swiglu_clamp_{kind}"
        array = self.model.array(name)
        if array is not None:
            return float(array[il]) if il < len(array) else 0.0
        value = self.model.key(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def _activate(
        self, act: str, cur: Tensor, tmp: Tensor, *, gated: bool, act_scale: Tensor | None, limit: float
    ) -> Tensor:
        if act == "relu_sqr":
            cur = self.sqr(self.unary("relu", cur))
            return self.mul(cur, tmp) if gated else cur
        if act in _FUSED:
            cur = self.glu(cur, None, act)
            return self.mul(cur, tmp) if gated else cur
        if not gated:
            cur = self.unary(act, cur)
            return cur if act_scale is None else self.div(cur, act_scale)
        if act == "silu" and limit > _EPS and not self._clamps_inside(_SWIGLU_CLAMP_SHEXP):
            tmp = self.clamp(tmp)
            return self.mul(self.clamp(self.unary("silu", cur)), tmp)
        return self.glu(cur, tmp, act)

    def _clamps_inside(self, archs: frozenset[str]) -> bool:
        return self.arch in archs or (
            self.arch == "dflash" and self.model.number("hyper_connection.count") > 0
        )

    def moe(
        self,
        il: int,
        cur: Tensor,
        *,
        act: str = "silu",
        gating: str = "softmax",
        norm_w: bool = False,
        n_expert: int | None = None,
        n_used: int | None = None,
        scale_w: float | None = None,
        exp_probs: str = "",
        gate_inp: str = "ffn_gate_inp",
        up: str = "ffn_up_exps",
        gate: str = "ffn_gate_exps",
        down: str = "ffn_down_exps",
        gate_up: str = "",
        biases: bool = False,
        scales: bool = False,
        probs_in: Tensor | None = None,
        selected: Tensor | None = None,
    ) -> Tensor:
        """A routed mixture of experts on `cur` [n_embd, n_tokens].

        Args:
            gating: `softmax sigmoid softmax_weight sqrt_softplus`.
            norm_w: the weights of the chosen experts are normalised.
            scale_w: `expert_weights_scale` as the builder passes it; None reads the header's.
            exp_probs: name of the selection bias, such as `exp_probs_b`; empty where the builder passes none.
            gate_up: name of the merged gate and up experts where the builder passes them.
            biases: the builder passes biases of router and experts.
            scales: the builder passes the scales of NVFP4 files.
        """
        n_expert = self.n_expert if n_expert is None else n_expert
        n_used = self.n_expert_used if n_used is None else n_used
        n_embd, n_tokens = cur.ne[0], cur.ne[1]
        logits = (
            probs_in if probs_in is not None else self.mul_mat(self.w(il, gate_inp), cur, "ffn_moe_logits")
        )
        if biases:
            bias = self.b(il, gate_inp)
            logits = logits if bias is None else self.add(logits, bias)
        ids, weights = self._route(
            il,
            logits,
            gating,
            (n_expert, n_used, n_tokens),
            norm_w=norm_w,
            exp_probs=exp_probs,
            selected=selected,
        )
        scale = self.expert_weights_scale() if scale_w is None else scale_w
        if scale not in (0.0, 1.0):
            weights = self.scale(weights, "ffn_moe_weights_scaled")
        self.expand(weights)
        x = self.reshape(cur, n_embd, 1, n_tokens)
        before = self.arch == "llama4"  # llama-graph.cpp: weights are applied before the experts
        if before:
            x = self.mul(self.repeat(x, n_embd, n_used, n_tokens), weights, "ffn_moe_weighted")
        x = self._experts(il, x, ids, act, (up, gate, gate_up), biases=biases, scales=scales)
        experts = self._mm_id(il, down, x, ids, scales=scales)
        if self.arch == "mistral4" and experts.op == "MUL_MAT_ID":
            experts.param = SRC1_F32
        bias = self.b(il, down) if biases else None
        if bias is not None:
            experts = self.add_id(experts, bias, ids)
        if not before:
            experts = self.mul(experts, weights, "ffn_moe_weighted")
        self.expand(experts)
        return self._sum_experts(experts, n_used)

    def expert_weights_scale(self) -> float:
        """`expert_weights_scale` of the header; 0 without."""
        value = self.model.key("expert_weights_scale")
        return float(value) if isinstance(value, int | float) else 0.0

    def _sum_experts(self, experts: Tensor, n_used: int) -> Tensor:
        n_embd, _, n_tokens, _ = experts.ne
        nb = strides(experts)
        views = [
            self.expand(self.view_2d(experts, n_embd, n_tokens, nb[2], i * nb[1])) for i in range(n_used)
        ]
        out = views[0]
        for view in views[1:]:
            out = self.expand(self.add(out, view, "ffn_moe_out"))
        return self.cont(out, name="ffn_moe_out") if n_used == 1 else out

    def _route(
        self,
        il: int,
        logits: Tensor,
        gating: str,
        sizes: tuple[int, int, int],
        *,
        norm_w: bool,
        exp_probs: str,
        selected: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Indices and weights of the chosen experts."""
        n_expert, n_used, n_tokens = sizes
        if gating == "softmax":
            probs = self.soft_max(logits, name="ffn_moe_probs")
        elif gating == "sigmoid":
            probs = self.unary("sigmoid", logits, "ffn_moe_probs")
        elif gating == "sqrt_softplus":
            probs = self.sqrt(self.unary("softplus", logits), "ffn_moe_probs")
        else:
            probs = logits
        choice = probs
        bias = self._selection_bias(il, exp_probs) if exp_probs else None
        if bias is not None:
            choice = self.add(probs, bias, "ffn_moe_probs_biased")
        if self.arch == "llama4":
            choice = logits
        if self.arch == "grovemoe":
            choice = self.unary("sigmoid", logits)
        n_groups = self.model.number("expert_group_count")
        if n_groups > 1:
            choice = self._mask_groups(choice, n_expert, n_groups, n_tokens)
        ids = selected if selected is not None else self.argsort_top_k(choice, n_used, "ffn_moe_argsort")
        n_all = n_expert
        if self.arch == "grovemoe" and n_expert != self.n_expert:
            ids = self.cast(self.scale(self.cast(ids, F32)), I32)
            n_all = self.n_expert
        weights = self.get_rows(self.reshape(probs, 1, n_all, n_tokens), ids, "ffn_moe_weights")
        if gating == "softmax_weight":
            weights = self.soft_max(self.reshape(weights, n_used, n_tokens))
            weights = self.reshape(weights, 1, n_used, n_tokens)
        if norm_w:
            weights = self.reshape(weights, n_used, n_tokens)
            total = self.clamp(self.sum_rows(weights, "ffn_moe_weights_sum"))
            weights = self.reshape(self.div(weights, total), 1, n_used, n_tokens)
        return ids, weights

    def _selection_bias(self, il: int, name: str) -> Tensor | None:
        """Most architectures call it a bias, hy_v3 gives it no suffix (models/hy-v3.cpp, load_arch_tensors)."""
        block = f"blk.{self.alias.get(il, il)}.{name}"
        bias = self.weight(f"{block}.bias")
        return bias if bias is not None else self.weight(block)

    def _mask_groups(self, choice: Tensor, n_expert: int, n_groups: int, n_tokens: int) -> Tensor:
        """Only the best groups of experts stay eligible (DeepSeek V3)."""
        n_used = self.model.number("expert_group_used_count")
        groups = self.reshape(choice, n_expert // n_groups, n_groups, n_tokens)
        best = self.argsort_top_k(groups, 2)
        ne = groups.ne
        scores = self.get_rows(self.reshape(groups, 1, ne[0], ne[1], ne[2]), best)
        scores = self.sum_rows(self.reshape(scores, scores.ne[1], scores.ne[2], scores.ne[3]))
        scores = self.reshape(scores, scores.ne[1], scores.ne[2])
        chosen = self.argsort_top_k(scores, n_used, "ffn_moe_group_topk")
        kept = self.get_rows(groups, chosen)
        return self.reshape(self.set_rows(self.fill(groups), kept, chosen), n_expert, n_tokens)

    def _experts(
        self,
        il: int,
        x: Tensor,
        ids: Tensor,
        act: str,
        names: tuple[str, str, str],
        *,
        biases: bool,
        scales: bool,
    ) -> Tensor:
        """The activated middle of the chosen experts."""
        up_name, gate_name, gate_up_name = names
        merged = self.opt(il, gate_up_name) if gate_up_name else None
        gate_w = self.opt(il, gate_name) if gate_name and merged is None else None
        if merged is not None:
            both = self.mul_mat_id(merged, x, ids, gate_up_name)
            both = self._scale_id(both, self.s(il, up_name) if scales else None, ids)
            bias = self.b(il, gate_up_name) if biases else None
            both = both if bias is None else self.add_id(both, bias, ids)
            n_ff, ne, nb = both.ne[0] // 2, both.ne, strides(both)
            gate = self.view_3d(both, n_ff, ne[1], ne[2], nb[1], nb[2])
            up = self.view_3d(both, n_ff, ne[1], ne[2], nb[1], nb[2], n_ff * nb[0])
        else:
            up = self._mm_id(il, up_name, x, ids, scales=scales)
            bias = self.b(il, up_name) if biases else None
            up = up if bias is None else self.add_id(up, bias, ids)
            gate = up
            if gate_w is not None:
                gate = self._mm_id(il, gate_name, x, ids, scales=scales)
            bias = self.b(il, gate_name) if biases and gate_name else None
            gate = gate if bias is None else self.add_id(gate, bias, ids)
        return self._activate_experts(
            act,
            gate,
            up,
            il,
            has_gate_exps=gate_w is not None,
            gated=gate_w is not None or merged is not None,
        )

    def _activate_experts(
        self, act: str, gate: Tensor, up: Tensor, il: int, *, has_gate_exps: bool, gated: bool
    ) -> Tensor:
        if act == "silu" and has_gate_exps and self._limit("exp", il) > _EPS:
            if self._clamps_inside(_SWIGLU_CLAMP_EXP):
                return self.glu(gate, up, "ffn_moe_swiglu")
            up = self.clamp(up)
            return self.mul(self.clamp(self.unary("silu", gate)), up, "ffn_moe_swiglu")
        if act == "situ":
            return self.situ(gate, up)
        if act == "relu_sqr":
            return self.sqr(self.unary("relu", gate), "ffn_moe_relu_sqr")
        if act == "swiglu_oai" or gated:
            return self.glu(gate, up, f"ffn_moe_{act}")
        return self.unary(act, gate, f"ffn_moe_{act}")

    def situ(self, gate: Tensor, up: Tensor) -> Tensor:
        """`beta tanh(gate / beta) sigmoid(gate) . lb tanh(up / lb)` (kimi-k3)."""
        act = self.scale(self.unary("tanh", self.scale(gate)))
        act = self.mul(act, self.unary("sigmoid", gate))
        limit = self.model.key("activation.situ_linear_beta")
        if isinstance(limit, int | float) and limit > 0:
            up = self.scale(self.unary("tanh", self.scale(up)))
        return self.mul(act, up)

    def _mm_id(self, il: int, name: str, x: Tensor, ids: Tensor, *, scales: bool) -> Tensor:
        t = self.mul_mat_id(self.w(il, name), x, ids, name)
        return self._scale_id(t, self.s(il, name) if scales else None, ids)

    def _scale_id(self, t: Tensor, scale: Tensor | None, ids: Tensor) -> Tensor:
        """Source: llama-graph.cpp, `build_lora_mm_id`."""
        if scale is None:
            return t
        n_expert, n_tokens = scale.ne[0], t.ne[2]
        s = self.repeat(self.reshape(scale, 1, n_expert, 1), 1, n_expert, n_tokens)
        return self.mul(t, self.get_rows(s, ids))
