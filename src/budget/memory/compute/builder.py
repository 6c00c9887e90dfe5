"""The class that architecture builders get: every block in one place, and the ends of the graph."""

from __future__ import annotations

from collections.abc import Callable

from budget.errors import UnknownAnswerError
from budget.gguf.types import F32, I32
from budget.memory.compute.attention import Attention
from budget.memory.compute.delta_net import DeltaNet
from budget.memory.compute.ffn import FeedForward
from budget.memory.compute.tensor import Tensor

TOP_K = 40
"""common.h, `common_params_sampling`: the first sampler that is on by default."""
_RANK_SOFT_MAX = frozenset({"qwen3", "qwen3vl"})


class Builder(Attention, FeedForward, DeltaNet):
    """A compute graph under construction for one architecture."""

    def finish(
        self,
        cur: Tensor,
        *,
        softcap: bool = False,
        logit_scale: bool = False,
        head: Tensor | None = None,
        scaled: bool = True,
        bias: bool = True,
        then: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """From the last norm to the logits.

        Args:
            cur: the normalised hidden state; becomes `t_embd`.
            softcap: the final logits are capped with tanh.
            logit_scale: the logits are scaled.
            head: the output matrix where it is not the usual one.
            scaled: the builder passes the scale of NVFP4 files.
            bias: the builder adds the bias that the file may have.
            then: what the builder does with the logits at last.
        """
        self.t_embd = cur
        scale = self.weight("output.scale") if scaled else None
        cur = self.lora_mm(head if head is not None else self.output(), cur, scale, "result_output")
        b = self.weight("output.bias") if bias else None
        if b is not None:
            cur = self.add(cur, b, "result_output")
        if logit_scale:
            cur = self.scale(cur, "result_output")
        if softcap:
            cur = self.scale(self.unary("tanh", self.scale(cur)), "result_output")
        if then is not None:
            cur = then(cur)
        self.t_logits = cur
        self.expand(cur)

    def finish_embedding(self, cur: Tensor) -> None:
        """An encoder: the hidden state is the result."""
        self.t_embd = cur
        self.expand(cur)

    def head_norm(self, cur: Tensor, *, kind: str = "rms", name: str = "output_norm") -> Tensor:
        """The last norm."""
        return self.norm(
            cur, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), kind=kind, name="result_norm"
        )

    def select_rows(self, il: int, ids: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        """In the last layer only the rows that become outputs go on."""
        if il != self.n_layer - 1:
            return tensors
        return tuple(self.get_rows(t, ids) for t in tensors)

    def close(self) -> None:
        """Pooling, sampling, and the flags of what the caller reads.

        Source: llama-model.cpp, `build_graph`; llama-graph.cpp, `build_pooling`, `build_sampling`, `build_dense_out`,
        `set_outputs`.
        """
        pooled = None
        if self.params.embeddings:
            pooled = self._pool()
        if self.params.backend_sampling and self.t_logits is not None:
            self._sample(self.t_logits)
        if pooled is not None:
            pooled = self._dense_out(pooled)
        for t in (self.t_logits, self.t_embd, pooled, self.t_h_nextn):
            if t is not None:
                t.is_output = True

    def _sample(self, logits: Tensor) -> None:
        """The samplers of each output row, by default: those behind the first see `TOP_K` values."""
        n_vocab = logits.ne[0]
        padded = self.pad(logits, 0, 1, name="logits_padded")
        for i in range(logits.ne[1]):
            row = self.view_1d(padded, n_vocab, self.row_bytes(padded, n_vocab) * i)
            best = self.top_k(row, min(TOP_K, n_vocab), "top_k")
            values = self.get_rows(self.reshape(row, 1, n_vocab), best, "top_k_rows")
            for t in (values, best):
                t.is_output = True
                self.expand(t)

    def _pool(self) -> Tensor:
        cur = self.t_embd
        if cur is None:
            raise UnknownAnswerError(f"{self.arch} has no embedding to pool")
        pooling = self.params.pooling
        if pooling in ("none", "unspecified"):
            return self.expand(cur)
        if pooling == "mean" or (pooling == "rank" and self.pooling_cls == "mean"):
            mean = self.input(F32, self.n_tokens, self.n_seqs, name="mean")
            cur = self.mul_mat(self.cont(self.transpose(cur)), mean, "pooled")
        else:
            cur = self.get_rows(cur, self.input(I32, self.n_seqs, name="cls"), "pooled")
        return self.expand(self._rank(cur) if pooling == "rank" else cur)

    def _rank(self, cur: Tensor) -> Tensor:
        """The classification head of rerankers."""
        cls, cls_out = self.weight("cls.weight"), self.weight("cls.output.weight")
        if cls is not None:
            cur = self.mul_mat(cls, cur, "cls")
            bias = self.weight("cls.bias")
            cur = cur if bias is None else self.add(cur, bias)
            cur = self.unary("gelu" if self.arch == "modern-bert" else "tanh", cur)
            norm = self.weight("cls.norm.weight")
            cur = cur if norm is None else self.norm(cur, norm, kind="layer")
        if cls_out is not None:
            cur = self.mul_mat(cls_out, cur, "cls_out")
            bias = self.weight("cls.output.bias")
            cur = cur if bias is None else self.add(cur, bias)
        return self.soft_max(cur) if self.arch in _RANK_SOFT_MAX else cur

    def _dense_out(self, cur: Tensor) -> Tensor:
        """Projections of sentence-transformers after pooling."""
        dense_2, dense_3 = self.weight("dense_2.weight"), self.weight("dense_3.weight")
        bias = self.weight("dense_2.bias")
        if dense_2 is None and dense_3 is None and bias is None:
            return cur
        if dense_2 is not None:
            cur = self.mul_mat(dense_2, cur, "dense_2")
        if bias is not None:
            cur = self.add(cur, bias)
        if dense_3 is not None:
            cur = self.mul_mat(dense_3, cur, "dense_3")
        return self.expand(cur)
