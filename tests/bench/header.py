"""Parse time of a header with a real-sized vocabulary, against a loop that only steps from string to string.

Run: python tests/bench/header.py [n_tokens]
"""

from __future__ import annotations

import mmap
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import ghost
from budget.gguf.header import parse_header

LAYER = {
    "attn_norm": ([4096], "F32"), "attn_q": ([4096, 4096], "Q4_K"), "attn_k": ([4096, 1024], "Q4_K"),
    "attn_v": ([4096, 1024], "Q6_K"), "attn_output": ([4096, 4096], "Q4_K"), "ffn_norm": ([4096], "F32"),
    "ffn_gate": ([4096, 14336], "Q4_K"), "ffn_up": ([4096, 14336], "Q4_K"), "ffn_down": ([14336, 4096], "Q6_K"),
}  # fmt: skip
SPEC = {
    "metadata": {"general.architecture": ["str", "llama"], "llama.block_count": ["u32", 32]},
    "tensors": [
        [f"blk.{i}.{name}.weight", dims, kind] for i in range(32) for name, (dims, kind) in LAYER.items()
    ],
}


def bare_loop(buf: bytes, starts: list[tuple[int, int]]) -> None:
    """Step over each (offset, count) of strings, and do nothing else."""
    unpack = struct.Struct("<Q").unpack_from
    for start, n in starts:
        pos = start
        for _ in range(n):
            pos += 8 + unpack(buf, pos)[0]


def best_ms(work: Callable[[], object], n_runs: int = 15) -> float:
    times = []
    for _ in range(n_runs):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def main() -> None:
    n_tokens = int(sys.argv[1]) if len(sys.argv) > 1 else 128_256
    with tempfile.TemporaryDirectory() as folder:
        path = ghost.write_ghost(SPEC, Path(folder) / "m.gguf", vocab=n_tokens)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buf:
            header = parse_header(buf, file_bytes=len(buf))
            head = buf[: header.data_offset]
            keys = (b"tokenizer.ggml.tokens", b"tokenizer.ggml.merges")
            starts = [(head.index(key) + len(key) + 4 + 4 + 8, n_tokens) for key in keys]
            parse = best_ms(lambda: parse_header(buf, file_bytes=len(buf)))
            bare = best_ms(lambda: bare_loop(head, starts))
    print(f"header {len(head):,} bytes, {n_tokens:,} tokens and merges, {len(header.tensors)} tensors")
    print(f"parse {parse:.1f} ms, bare loop {bare:.1f} ms, ratio {parse / bare:.2f} (at most 1.50)")


if __name__ == "__main__":
    main()
