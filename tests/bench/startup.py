"""Start to exit, in units of `python -c pass`: `python -m tests.bench.startup`."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from ghost import write_ghost

BUDGET = str(Path(sys.executable).parent / "budget")
DATA = Path(__file__).parent.parent / "data"
RUNS = 20


def best(command: list[str]) -> float:
    """Shortest of several runs, seconds."""
    shortest = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def resident_mib(command: list[str]) -> float:
    """Most memory of `command`, MiB; run from a small process, because a child starts as a copy of its parent."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    return float(answer.stdout)


def main() -> None:
    """Print each command's time as a multiple of the bare interpreter's."""
    base, peak = best([sys.executable, "-c", "pass"]), 0.0
    print(f"python -c pass                {base * 1000:6.1f} ms")
    with lzma.open(DATA / "specs.json.xz", "rt") as f:
        specs = json.load(f)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("llama-3.1-8b", "llama-3.3-70b"):
            path = Path(folder) / f"{name}.gguf"
            write_ghost(specs[f"real/{name}"], path, vocab=128256)
            card = ["--gpu", "80GiB", "--ram", "128GiB"]
            for arguments in (
                ["max-ctx", str(path)],
                ["max-ctx", str(path), *card],
                ["fit", str(path), *card, "-c", "8k"],
            ):
                seconds = best([BUDGET, *arguments])
                shown = " ".join([arguments[0], name, *arguments[2:]])
                print(f"budget {shown:<44} {seconds * 1000:6.1f} ms  {seconds / base:5.1f} x")
                peak = max(peak, resident_mib([BUDGET, *arguments]))
    print(f"largest resident memory of any of them: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
