"""Start to exit, in units of `python -c pass`, and resident memory: `python -m tests.bench.startup`.

Run it with compiled modules, as pip installs them: `python -m compileall -q src` first where
PYTHONDONTWRITEBYTECODE is set.
"""

from __future__ import annotations

import json
import lzma
import mmap
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "source"))

from servers import serve

from ghost import write_ghost

BUDGET = str(Path(sys.executable).parent / "budget")
DATA = Path(__file__).parent.parent / "data"
RUNS = int(os.environ.get("RUNS", "20"))
CARD = ["--gpu", "80GiB", "--ram", "128GiB"]
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def best(command: list[str], env: dict[str, str]) -> float:
    """Shortest of several runs, seconds."""
    shortest = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=env)
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def peak_mib(command: list[str], env: dict[str, str]) -> float:
    """Largest resident memory, MiB; asked in a small process, since a child starts with the size of its parent."""
    said = subprocess.run(
        [sys.executable, "-c", PEAK, *command], capture_output=True, text=True, check=True, env=env
    )
    return int(said.stdout) / 1024


def commands(folder: Path, url: str) -> list[tuple[str, list[str]]]:
    """What is measured, with the words that show it."""
    small, large = str(folder / "llama-3.1-8b.gguf"), str(folder / "llama-3.3-70b.gguf")
    return [
        ("max-ctx 8b", ["max-ctx", small]),
        ("max-ctx 8b, one card", ["max-ctx", small, *CARD]),
        ("max-ctx 8b, already read by range", ["max-ctx", f"{url}/llama-3.1-8b.gguf", *CARD]),
        ("inspect 8b, already read by range", ["inspect", f"{url}/llama-3.1-8b.gguf"]),
        ("inspect 8b", ["inspect", small]),
        ("fit 8b, one card", ["fit", small, *CARD, "-c", "8k"]),
        ("max-ctx 70b", ["max-ctx", large]),
        ("max-ctx 70b, one card", ["max-ctx", large, *CARD]),
        (
            "max-ctx 70b, two small cards",
            ["max-ctx", large, "--gpu", "24GiB", "--gpu", "24GiB", "--ram", "128GiB"],
        ),
        ("fit 70b, one card", ["fit", large, *CARD, "-c", "8k"]),
        ("devices", ["devices"]),
        ("--help", ["--help"]),
        ("max-ctx --help", ["max-ctx", "--help"]),
    ]


def main() -> None:
    """Print each command's time as a multiple of the bare interpreter's."""
    with lzma.open(DATA / "specs.json.xz", "rt") as f:
        specs = json.load(f)
    with tempfile.TemporaryDirectory() as name:
        folder, files = Path(name), {}
        env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        base = best([sys.executable, "-c", "pass"], env)
        print(f"{'python -c pass':<36} {base * 1000:6.1f} ms")
        for model in ("llama-3.1-8b", "llama-3.3-70b"):
            path = folder / f"{model}.gguf"
            write_ghost(specs[f"real/{model}"], path, vocab=128256)
            with path.open("rb") as file:
                files[f"/{path.name}"] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with serve(files=files) as served:
            for shown, arguments in commands(folder, served.url):
                command = [BUDGET, *arguments]
                subprocess.run(
                    command, capture_output=True, check=False, env=env
                )  # fills the cache of headers
                n_requests = len(served.requests)
                seconds, peak = best(command, env), peak_mib(command, env)
                asked = (
                    f", {len(served.requests) - n_requests} requests"
                    if served.url in " ".join(arguments)
                    else ""
                )
                print(
                    f"{shown:<36} {seconds * 1000:6.1f} ms  {seconds / base:5.1f} x  {peak:4.0f} MiB{asked}"
                )


if __name__ == "__main__":
    main()
