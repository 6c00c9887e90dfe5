"""Random mutations of good headers: only clean errors, no slow case, little memory.

Run: python tests/bench/mutate.py [n_cases] [--atheris]
"""

from __future__ import annotations

import random
import resource
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
import ghost
from budget.errors import BadModelError
from budget.gguf.header import NeedMoreBytesError, parse_header

SPEC = {
    "metadata": {
        "general.architecture": ["str", "llama"],
        "general.alignment": ["u32", 32],
        "llama.block_count": ["u32", 2],
        "llama.attention.head_count_kv": ["arr:u32", [8, 8]],
        "tokenizer.ggml.model": ["str", "gpt2"],
        "tokenizer.ggml.tokens": ["arr:str", ["<s>", "", "abc"]],
        "tokenizer.ggml.scores": ["arr:f32", [0.0, 1.0, 2.0]],
        "general.tags": ["arr:str", ["x", "yz"]],
    },
    "tensors": [["token_embd.weight", [256, 4], "Q4_K"], ["a", [64, 64], "Q8_0"], ["b", [64], "F32"]],
}
SEEDS = [ghost.header_bytes(SPEC), ghost.header_bytes(SPEC, version=2), ghost.header_bytes(SPEC, vocab=50)]
EXTREMES = [0, 1, 2, 8, 9, 2**7, 2**16, 2**20, 2**26, 2**30, 2**31 - 1, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
OUTCOMES: dict[str, int] = {}
MAX_SECONDS = 1.0
MAX_MIB = 256


def mutate(rng: random.Random) -> bytes:
    """A good header with one to four changes: bytes, extreme numbers, cuts, repeats."""
    buf = bytearray(rng.choice(SEEDS))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(buf)) if buf else 0
        match rng.randrange(6):
            case 0:
                buf[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                buf[at : at + 8] = struct.pack("<Q", rng.choice(EXTREMES))
            case 2:
                buf[at : at + 4] = struct.pack("<I", rng.choice(EXTREMES) & 0xFFFFFFFF)
            case 3:
                del buf[at : at + rng.randint(1, 16)]
            case 4:
                buf[at:at] = buf[at : at + rng.randint(1, 64)]
            case _:
                del buf[at:]
    return bytes(buf)


def check(content: bytes, file_bytes: int | None) -> None:
    """Any other exception ends the run."""
    start = time.perf_counter()
    try:
        parse_header(content, file_bytes=file_bytes)
        outcome = "a header"
    except (BadModelError, NeedMoreBytesError) as error:
        outcome = type(error).__name__
    if time.perf_counter() - start > MAX_SECONDS:
        raise SystemExit(f"took too long: {content!r}")
    OUTCOMES[outcome] = OUTCOMES.get(outcome, 0) + 1


def by_chance(n_cases: int) -> None:
    rng = random.Random(20240611)
    sizes = (None, None, 1 << 40)
    for i in range(n_cases):
        content = mutate(rng)
        try:
            check(content, len(content) if i % 4 == 3 else sizes[i % 4])
        except Exception:
            print(f"case {i}: {content!r}")
            raise


def by_coverage(n_cases: int) -> None:
    """With atheris, which follows the branches taken."""
    import atheris

    atheris.instrument_all()
    corpus = Path("/tmp/gguf-corpus")
    corpus.mkdir(exist_ok=True)
    for i, seed in enumerate(SEEDS):
        (corpus / f"seed{i}").write_bytes(seed)

    def one(content: bytes) -> None:
        check(content, len(content) if len(content) % 2 else None)

    atheris.Setup([sys.argv[0], f"-runs={n_cases}", "-max_len=4096", str(corpus)], one)
    atheris.Fuzz()


def main() -> None:
    numbers = [int(arg) for arg in sys.argv[1:] if arg.isdigit()]
    n_cases = numbers[0] if numbers else 1_000_000
    start = time.perf_counter()
    (by_coverage if "--atheris" in sys.argv else by_chance)(n_cases)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n_cases:,} mutations in {time.perf_counter() - start:.0f} s, peak {peak:.0f} MiB (at most {MAX_MIB})"
    )
    print(OUTCOMES)
    if peak > MAX_MIB:
        raise SystemExit("too much memory")


if __name__ == "__main__":
    main()
