"""Addresses through `open_model`: the cache in front, shards, and how often a server is asked."""

from __future__ import annotations

import socket

import pytest

import ghost
from budget.errors import BadModelError, NetworkError, UsageError
from budget.gguf.header import parse_header
from budget.source import cache as cache_module
from budget.source import open_model
from budget.source.cache import HeaderCache
from source.servers import Handler, serve
from source.specs import BIG, MODEL, part


def test_a_second_call_makes_no_request():
    with serve(files={"/m.gguf": BIG}) as served:
        first = open_model(served.url + "/m.gguf")
        n = len(served.requests)
        assert open_model(served.url + "/m.gguf") == first
    assert n == len(served.requests) <= 3


def test_when_it_is_no_longer_fresh_one_conditional_request_confirms_it(monkeypatch):
    with serve(files={"/m.gguf": BIG}) as served:
        first = open_model(served.url + "/m.gguf")
        monkeypatch.setattr(cache_module, "FRESH_S", 0.0)
        served.requests.clear()
        served.n_bytes = 0
        assert open_model(served.url + "/m.gguf") == first
    assert (len(served.requests), served.n_bytes) == (1, 0)


def test_a_changed_file_is_read_again(monkeypatch):
    class Versions(Handler):
        def answer(self, content):
            self.etag = f'"{len(content)}"'
            super().answer(content)

    files = {"/m.gguf": BIG}
    with serve(Versions, files) as served:
        open_model(served.url + "/m.gguf")
        monkeypatch.setattr(cache_module, "FRESH_S", 0.0)
        files["/m.gguf"] = MODEL
        assert open_model(served.url + "/m.gguf")[0] == parse_header(MODEL)


def test_without_an_etag_nothing_is_kept():
    with serve(files={"/m.gguf": MODEL}, etag=None) as served:
        open_model(served.url + "/m.gguf")
    assert HeaderCache().info().n_entries == 0


def test_a_bad_file_is_not_kept():
    with serve(files={"/m.gguf": b"<html>"}) as served, pytest.raises(BadModelError):
        open_model(served.url + "/m.gguf")
    assert HeaderCache().info().n_entries == 0


def test_the_cache_holds_no_secrets(tmp_path):
    with serve(files={"/m.gguf": MODEL}) as served:
        open_model(served.url.replace("http://", "http://me:sesame@") + "/m.gguf?sig=abracadabra")
    import zlib

    entries = list((tmp_path / "xdg/budget/headers").iterdir())
    raw = b"".join(zlib.decompress(path.read_bytes().partition(b"\n")[2]) for path in entries)
    assert entries
    assert b"sesame" not in raw
    assert b"abracadabra" not in raw


def shards():
    files = {}
    for i, spec in enumerate([part("a"), part("b"), part("c")]):
        keys = {"split.no": ["u16", i], "split.count": ["u16", 3], "split.tensors.count": ["i32", 3]}
        full = {**spec, "metadata": spec["metadata"] | keys}
        files[f"/m-{i + 1:05d}-of-00003.gguf"] = ghost.header_bytes(full) + bytes(1024)
    return files


def test_the_first_shard_leads_to_all_on_one_connection():
    files = shards()
    with serve(files=files) as served:
        header, source = open_model(served.url + "/m-00001-of-00003.gguf?download=true")
    assert [t.name for t in header.tensors] == ["a", "b", "c"]
    assert (source.n_shards, source.file_bytes) == (3, sum(map(len, files.values())))
    assert [path for _, path, _ in served.requests] == [f"{name}?download=true" for name in files]
    assert served.n_connections == 1


def test_a_missing_shard_is_named():
    files = shards()
    del files["/m-00002-of-00003.gguf"]
    with serve(files=files) as served, pytest.raises(BadModelError, match="shard 2 of 3 is missing"):
        open_model(served.url + "/m-00001-of-00003.gguf")


@pytest.mark.parametrize(
    "url", ["https://[::bad/m.gguf", "https:///m.gguf", "https://", "https://a b/m.gguf"]
)
def test_an_address_that_makes_no_sense(url, monkeypatch):
    def unknown(host, *_, **__):
        raise socket.gaierror(f"Name or service not known: {host}")

    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises((UsageError, NetworkError)) as e:
        open_model(url)
    assert e.value.hint
