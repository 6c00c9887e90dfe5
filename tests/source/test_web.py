"""Addresses through `open_model`: the cache in front, shards, and how often a server is asked."""

from __future__ import annotations

import socket

import httpx
import pytest

import ghost
from budget.errors import BadModelError, NetworkError, UsageError
from budget.gguf.header import parse_header
from budget.source import cache as cache_module
from budget.source import http, open_model
from budget.source.cache import HeaderCache
from budget.source.web import WebReader
from inprocess import budget
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
    "url",
    [
        "https://[::bad/m.gguf", "https:///m.gguf", "https://", "http://?x", "https://:80/m.gguf", "https://a:99999/m.gguf",
        "file://", "hf://", "hf://user", "hf://user/", "ollama://", "ollama://:tag",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["fit", "inspect"])
def test_an_address_without_a_server_or_a_name_is_a_mistake(url, command):
    code, out, err = budget(f"{command} {url}")
    assert (code, out) == (2, "")
    assert url in err


@pytest.mark.parametrize("url", ["https://a b/m.gguf"])
def test_an_address_that_makes_no_sense(url, monkeypatch):
    def unknown(host, *_, **__):
        raise socket.gaierror(f"Name or service not known: {host}")

    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("socket.getaddrinfo", unknown)
    with pytest.raises((UsageError, NetworkError)) as e:
        open_model(url)
    assert e.value.hint


@pytest.fixture(name="no_certificates")
def _no_certificates(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")


def test_http_needs_no_certificates(no_certificates):
    with serve(files={"/m.gguf": MODEL}) as served:
        assert open_model(served.url.upper().replace("HTTP", "http") + "/m.gguf")[0] == parse_header(MODEL)


def redirecting(place):
    class Redirecting(Handler):
        def do_GET(self):  # noqa: N802
            self.served.requests.append((self.command, self.path, self.headers.get("Range")))
            self.fail(302, ("Location", place))

    return Redirecting


@pytest.mark.parametrize("is_redirect", [True, False])
def test_https_needs_them_also_behind_a_redirect(no_certificates, is_redirect):
    place = "https://models.example/m.gguf"
    with serve(redirecting(place)) as served, pytest.raises(NetworkError, match="certificate settings"):
        open_model(served.url + "/m.gguf" if is_redirect else place)


def test_a_redirect_to_https_is_followed_with_certificates(monkeypatch):
    made = []

    def stand_in(policy, *, encrypted):
        made.append(encrypted)
        return real(policy, encrypted=False) if not encrypted else httpx.Client(
            transport=httpx.MockTransport(answer), follow_redirects=True
        )  # fmt: skip

    def answer(request):
        if request.url.scheme == "http":
            return httpx.Response(302, headers={"Location": "https://models.example/m.gguf"})
        return httpx.Response(200, content=BIG)

    real = http.new_client
    monkeypatch.setattr(http, "new_client", stand_in)
    with serve(redirecting("https://models.example/m.gguf")) as served, WebReader() as web:
        assert web.header(served.url + "/m.gguf")[0] == parse_header(BIG)
        assert web.header(served.url + "/n.gguf")[0] == parse_header(BIG)
        assert len(served.requests) == 1
    assert made == [False, True]
