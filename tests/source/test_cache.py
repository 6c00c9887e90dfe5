"""The header cache: what comes out is what went in, or nothing."""

from __future__ import annotations

import math
import multiprocessing
import zlib
from pathlib import Path

import pytest

import ghost
from budget.gguf.header import parse_header
from budget.source import cache as cache_module
from budget.source.cache import FRESH_S, HeaderCache, default_folder

SPEC = {
    "metadata": {
        "general.architecture": ["str", "späße"],
        "general.alignment": ["u32", 64],
        "a.u64": ["u64", 2**64 - 1],
        "a.f32": ["f32", 0.1],
        "a.inf": ["f64", math.inf],
        "a.flag": ["bool", True],
        "a.heads": ["arr:u32", [8, 0]],
        "a.none": ["arr:f32", []],
        "a.names": ["arr:str", ["x", ""]],
    },
    "tensors": [["a", [256, 3], "Q4_K"], ["b", [7], "F32"], ["c", [], "F32"], ["d", [0, 2], "F16"]],
}
HEADER = parse_header(ghost.header_bytes(SPEC, vocab=5000))


@pytest.fixture
def cache(tmp_path):
    return HeaderCache(tmp_path / "headers")


def put(cache, key="k"):
    cache.put_header(key, HEADER, validator='"v1"', file_bytes=123)
    return next(cache.folder.glob("*.header"))


def test_a_header_comes_back_whole(cache):
    put(cache)
    got = cache.header("k")
    assert got.header == HEADER
    assert (got.validator, got.file_bytes) == ('"v1"', 123)


def test_an_entry_is_small(cache):
    assert put(cache).stat().st_size < 1000


def test_another_key_is_another_entry(cache):
    put(cache)
    assert cache.header("other") is None


def test_a_key_whose_checksums_collide_is_not_taken_for_the_other(cache, monkeypatch):
    monkeypatch.setattr(zlib, "adler32", lambda _: 0)
    monkeypatch.setattr(HeaderCache, "_path", lambda self, _: self.folder / "same.header")
    put(cache, "one")
    assert cache.header("one") is not None
    assert cache.header("two") is None


def test_every_damage_is_a_miss(cache):
    path = put(cache)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert cache.header("k") is None, at
        path.write_bytes(whole[:at])
        assert cache.header("k") is None, at
    path.write_bytes(whole)
    assert cache.header("k") is not None


@pytest.mark.parametrize(
    "value", [None, [], {}, {"header": 3}, {"header": {}, "validator": "", "file_bytes": 1}]
)
def test_an_entry_of_another_shape_is_a_miss(cache, value):
    cache.put("k", value)
    assert cache.header("k") is None


def test_an_entry_of_another_version_is_a_miss(cache, monkeypatch):
    put(cache)
    monkeypatch.setattr(cache_module, "__version__", "999")
    assert cache.header("k") is None


def test_freshness_ends(cache):
    put(cache)
    got = cache.header("k")
    assert got.is_fresh()
    assert got.is_fresh(got.saved_s + FRESH_S - 1)
    assert not got.is_fresh(got.saved_s + FRESH_S)
    assert not got.is_fresh(got.saved_s - 1)  # a clock that was set back


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = HeaderCache(tmp_path / "file" / "headers")
    cache.put("k", 1)
    assert cache.get("k") is None
    assert cache.info().n_entries == 0


def test_info_and_clear(cache):
    put(cache, "one")
    put(cache, "two")
    (cache.folder / "left.tmp").write_bytes(b"half")
    info = cache.info()
    assert (info.n_entries, info.folder) == (2, cache.folder)
    assert info.n_bytes == sum(p.stat().st_size for p in cache.folder.glob("*.header"))
    assert cache.clear() == 2
    assert list(cache.folder.iterdir()) == []


def test_the_oldest_entries_go_when_there_are_too_many(cache, monkeypatch):
    monkeypatch.setattr(cache_module, "MAX_ENTRIES", 10)
    for i in range(12):
        cache.put(f"k{i}", i)
        import os

        os.utime(cache._path(f"k{i}"), (1000 + i, 1000 + i))
    cache.prune()
    assert [i for i in range(12) if cache.get(f"k{i}")] == list(range(3, 12))


def hammer(folder, seed):
    cache = HeaderCache(Path(folder))
    for i in range(40):
        cache.put_header("shared", HEADER, validator=f"{seed}", file_bytes=i)
        got = cache.header("shared")
        if got is None or got.header != HEADER:
            raise SystemExit(1)


def test_concurrent_writers_and_readers_see_whole_entries(tmp_path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=hammer, args=(str(tmp_path), seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert not list(tmp_path.glob("*.tmp"))


def test_the_folder_is_where_caches_belong(own_home):
    assert default_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/budget/headers")
    assert default_folder({}) == own_home / ".cache/budget/headers"
