"""Many models at once: headers read and judged in parallel, one row per model, whatever is wrong with some."""

from __future__ import annotations

import importlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any, Generic, TypeAlias, TypeVar

from budget.errors import BudgetError, NetworkError, UsageError
from budget.gguf.header import Header
from budget.source.discover import Found
from budget.source.open import SourceInfo, open_model

T = TypeVar("T")
Judge: TypeAlias = Callable[[Header, SourceInfo], T]
"""Says what the caller wants to know of one model; a function of a module, since it travels to other processes."""

_CHUNK = 8
"""Models per task: enough to make the trip to another process cheap."""
_AHEAD = 4
"""Tasks per worker that are handed out before their turn; bounds memory, however long the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Generic[T]):
    """What became of one model."""

    found: Found
    result: T | None = None
    """What the judge said; None where there is an error, and for files that are no models by themselves."""
    error: str | None = None
    """What is wrong with the file."""
    hint: str | None = None


def scan(
    found: Iterable[Found], judge: Judge[T], *, n_jobs: int | None = None, dask: str | None = None,
    use_cache: bool = True,
) -> Iterator[Row[T]]:  # fmt: skip
    """One row per model, in the order of `found`.

    Args:
        found: models, from `discover`; may be a generator of any length.
        judge: called with each header.
        n_jobs: processes; by default as many as this process may use processors.
        dask: address of a Dask scheduler, such as `tcp://host:8786`, whose workers read instead. Paths must mean
            the same there.
        use_cache: whether headers read before are used and new ones kept.

    Raises:
        UsageError: Dask is asked for and not installed.
        NetworkError: the scheduler does not answer.
    """
    if dask is not None:
        return _on_dask(found, judge, dask, use_cache)
    return _here(iter(found), judge, n_jobs or _n_processors(), use_cache)


def _n_processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_chunk(chunk: list[Found], judge: Judge[T], use_cache: bool) -> list[Row[T]]:
    """The rows of some models, one after the other."""
    return [_row(one, judge, use_cache) for one in chunk]


def _row(found: Found, judge: Judge[T], use_cache: bool) -> Row[T]:
    if found.kind != "model":
        return Row(found=found)
    try:
        return Row(found=found, result=judge(*open_model(found.spec, use_cache=use_cache, quiet=True)))
    except BudgetError as error:
        return Row(found=found, error=error.message, hint=error.hint)
    except Exception as error:  # a row, not an end: the other models still get their answer
        return Row(found=found, error=f"{type(error).__name__}: {error}", hint="please report this as a bug")


def _here(found: Iterator[Found], judge: Judge[T], n_jobs: int, use_cache: bool) -> Iterator[Row[T]]:
    first = list(islice(found, _CHUNK))
    if n_jobs == 1 or len(first) < _CHUNK:
        yield from read_chunk(first, judge, use_cache)
        for one in found:
            yield _row(one, judge, use_cache)
        return
    chunks: Iterator[list[Found]] = _chunks(first, found)
    waiting: deque[list[Found]] = deque()
    while True:
        waiting.clear()
        with _pool(n_jobs) as pool:
            try:
                for rows in _in_order(chunks, pool, judge, use_cache, n_jobs * _AHEAD, waiting):
                    yield from rows
                return
            except BrokenProcessPool:
                guilty = waiting.popleft()
        chunks = chain(list(waiting), chunks)
        for one in guilty:
            yield _alone(one, judge, use_cache)


def _in_order(
    chunks: Iterator[list[Found]], pool: Executor, judge: Judge[T], use_cache: bool, n_ahead: int,
    waiting: deque[list[Found]],
) -> Iterator[list[Row[T]]]:  # fmt: skip
    """Rows of `chunks`, in order, with at most `n_ahead` of them under way; these are listed in `waiting`."""
    futures: deque[Future[list[Row[T]]]] = deque()
    for chunk in chunks:
        waiting.append(chunk)
        futures.append(pool.submit(read_chunk, chunk, judge, use_cache))
        if len(futures) >= n_ahead:
            rows = futures.popleft().result()
            waiting.popleft()
            yield rows
    while futures:
        rows = futures.popleft().result()
        waiting.popleft()
        yield rows


def _alone(found: Found, judge: Judge[T], use_cache: bool) -> Row[T]:
    """The row of a model that may end the process that reads it."""
    with _pool(1) as pool:
        try:
            return pool.submit(_row, found, judge, use_cache).result()
        except BrokenProcessPool:
            return Row(found=found, error="the process that read it was ended, perhaps for lack of memory")


def _pool(n_jobs: int) -> ProcessPoolExecutor:
    """Fresh processes: forking one that shows a progress bar from a thread is not safe."""
    return ProcessPoolExecutor(n_jobs, mp_context=get_context("spawn"))


def _chunks(first: list[Found], rest: Iterator[Found]) -> Iterator[list[Found]]:
    yield first
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _on_dask(found: Iterable[Found], judge: Judge[T], address: str, use_cache: bool) -> Iterator[Row[T]]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise UsageError("--dask needs Dask", hint="pip install 'gguf-budget[dask]'") from error
    try:
        client = distributed.Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise NetworkError(f"no Dask scheduler at {address} ({error})", hint="check the address") from error
    with client:
        n_ahead = max(sum(client.nthreads().values()), 1) * _AHEAD
        found = iter(found)
        chunks = _chunks(list(islice(found, _CHUNK)), found)
        for rows in _in_order(chunks, _DaskPool(client), judge, use_cache, n_ahead, deque()):
            yield from rows


class _DaskPool(Executor):
    """A Dask client as an executor; tasks with equal arguments are still run each."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return self._client.submit(fn, *args, pure=False, **kwargs)
