"""Models scanned per second, and memory, over sparse files with a vocabulary; also through a local Dask cluster.

Run: python tests/bench/scan.py [n_models] [n_tokens] [--dask]
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import ghost
from bench.header import SPEC
from budget.source.discover import Found, discover
from budget.source.scan import Row, scan

Rows = list[Row[tuple[int, int]]]


def judge(header: Any, source: Any) -> tuple[int, int]:
    """Stands for a plan: as cheap as possible, so that reading is what is measured."""
    return len(header.tensors), source.file_bytes


def write_models(folder: Path, n_models: int, n_tokens: int) -> None:
    """The same model again and again; files, not links, since a scan leaves out what it has seen."""
    first = ghost.write_ghost(SPEC, folder / "m0000.gguf", vocab=n_tokens)
    head = ghost.header_bytes(SPEC, vocab=n_tokens)
    for i in range(1, n_models):
        with (folder / f"m{i:04}.gguf").open("wb") as file:
            file.write(head)
            file.truncate(first.stat().st_size)
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))


def timed(name: str, found: list[Found], **options: Any) -> Rows:
    start = time.perf_counter()
    rows = []
    peaks = []
    for i, row in enumerate(scan(found, judge, **options)):
        rows.append(row)
        if i in (len(found) // 10, len(found) - 1):
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    seconds = time.perf_counter() - start
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{name:12} {len(rows)} models in {seconds:.1f} s: {len(rows) / seconds:.0f} a second; "
        f"peak here {peaks[0]:.0f} MiB at a tenth, {peaks[-1]:.0f} MiB at the end; largest worker {workers:.0f} MiB"
    )
    return rows


def main() -> None:
    numbers = [int(arg) for arg in sys.argv[1:] if arg.isdigit()]
    n_models, n_tokens = (*numbers, 2000, 128_256)[:2] if len(numbers) != 1 else (numbers[0], 128_256)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        models = Path(folder) / "models"
        models.mkdir()
        write_models(models, n_models, n_tokens)
        found = list(discover([str(models)], stores=False))
        print(f"{len(found)} models, {n_tokens:,} tokens each, {len(os.sched_getaffinity(0))} processors")
        plain = timed("processes", found, use_cache=False)
        assert timed("cache empty", found) == plain
        assert timed("cache full", found) == plain
        if "--dask" in sys.argv:
            from distributed import LocalCluster

            with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
                same = timed("dask", found, dask=cluster.scheduler_address, use_cache=False) == plain
            print(f"the same rows through Dask: {same}")


if __name__ == "__main__":
    main()
