"""Headers over http: few requests, few bytes, and every way a server can go wrong."""

from __future__ import annotations

import gzip
import threading
from dataclasses import replace
from email.utils import formatdate
from types import SimpleNamespace

import pytest

import ghost
from budget.errors import BadModelError, ExitCode, NetworkError
from budget.gguf.header import parse_header
from budget.source.errors import MissingFileError
from budget.source.http import EncryptedError, new_client, read_remote_header
from ports import unanswered
from source.servers import QUICK, Handler, serve, slowly

SPEC = {
    "metadata": {"general.architecture": ["str", "llama"], "llama.block_count": ["u32", 1]},
    "tensors": [["token_embd.weight", [256, 64], "Q4_K"], ["output_norm.weight", [256], "F32"]],
}
SMALL = ghost.header_bytes(SPEC) + bytes(ghost.data_bytes(SPEC))
HEAD = ghost.header_bytes(SPEC, vocab=20_000)
LARGE = HEAD + bytes(ghost.data_bytes(SPEC) + 1_000_000)
PATH = "/m.gguf"


def read(served, path=PATH, *, policy=QUICK, waits=None, **options):
    sleep = (lambda _: None) if waits is None else waits.append
    with new_client(policy) as client:
        return read_remote_header(served.url + path, client=client, policy=policy, sleep=sleep, **options)


def test_a_small_header_takes_one_request():
    with serve(files={PATH: SMALL}) as served:
        got = read(served)
    assert got.header == parse_header(SMALL)
    assert (got.file_bytes, got.etag, got.n_requests) == (len(SMALL), '"v1"', 1)
    assert served.ranges == ["bytes=0-262143"]


def test_a_vocabulary_is_read_by_ranges_that_follow_each_other_on_one_connection():
    with serve(files={PATH: LARGE}) as served:
        got = read(served)
    assert got.header == parse_header(LARGE)
    ends = [0]
    for text in served.ranges:
        start, end = text.removeprefix("bytes=").split("-")
        assert int(start) == ends[-1]
        ends.append(int(end) + 1)
    assert 1 < len(served.ranges) <= 3
    assert served.n_connections == 1
    assert served.n_bytes == got.n_bytes <= len(HEAD) * 1.1


def test_a_header_the_size_of_llama_3_takes_three_requests_and_at_most_8_4_mb():
    n_tokens, n_merges = 128_256, 280_147
    metadata = SPEC["metadata"] | {
        "tokenizer.ggml.model": ["str", "gpt2"],
        "tokenizer.ggml.tokens": ["arr:str", ["t" * (4 + i // 20_000) for i in range(n_tokens)]],
        "tokenizer.ggml.token_type": ["arr:i32", [1] * n_tokens],
        "tokenizer.ggml.merges": ["arr:str", ["m" * (8 + i // 60_000) for i in range(n_merges)]],
        "tokenizer.chat_template": ["str", "x" * 5000],
    }
    head = ghost.header_bytes({"metadata": metadata, "tensors": SPEC["tensors"]})
    assert 7_000_000 < len(head) < 7_900_000
    with serve(files={PATH: head + bytes(2_000_000)}) as served:
        got = read(served)
    assert got.header.metadata["tokenizer.ggml.merges"].value.length == n_merges
    assert len(served.requests) <= 3
    assert served.n_bytes <= 8_400_000


class NoRanges(Handler):
    ranges = False


class NoLength(Handler):
    """No ranges and no Content-Length: the body ends with the connection."""

    def answer(self, content):
        self.close_connection = True
        self.head(200, [("Connection", "close")])
        self.body(content)


class Chunked(Handler):
    def answer(self, content):
        self.head(200, [("Transfer-Encoding", "chunked")])
        for at in range(0, len(content), 50_000):
            piece = content[at : at + 50_000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")


class Gzip(Handler):
    def answer(self, content):
        packed = gzip.compress(content)
        self.head(200, [("Content-Encoding", "gzip"), ("Content-Length", str(len(packed)))])
        self.body(packed)


class Redirect(Handler):
    def answer(self, content):
        if "key=" not in self.path:
            return self.fail(302, ("Location", f"{PATH}?key=1"), ("X-Linked-Etag", '"lfs"'))
        return super().answer(content)


class RelativePieces(Handler):
    """Never more than 100,000 bytes at once, though more was asked for."""

    def span(self, n_bytes):
        start, stop = super().span(n_bytes)
        return start, min(stop, start + 100_000)


class StarTotal(Handler):
    def head(self, status, headers):
        super().head(
            status, [(k, v.rsplit("/", 1)[0] + "/*" if k == "Content-Range" else v) for k, v in headers]
        )


class NoEtag(Handler):
    etag = None


class Dropping(Handler):
    """Breaks the first answer to each of the first two ranges in the middle."""

    def body(self, content):
        self.state["n"] = self.state.get("n", 0) + 1
        if self.state["n"] in (1, 3):
            super().body(content[: len(content) // 2])
            return self.drop()
        return super().body(content)


class Slow(Handler):
    def body(self, content):
        slowly(self.wfile.write, content, step=len(content) // 4 + 1, pause_s=0.05)


class Busy(Handler):
    """Refuses twice, then answers."""

    statuses = (503, 429)

    def answer(self, content):
        n = len(self.served.requests) - 1
        if n < len(self.statuses):
            return self.fail(self.statuses[n])
        return super().answer(content)


class PromisesMore(Handler):
    """A Content-Length larger than the body."""

    def head(self, status, headers):
        super().head(status, [(k, str(int(v) + 500) if k == "Content-Length" else v) for k, v in headers])

    def body(self, content):
        super().body(content)
        self.drop()


class PromisesLess(Handler):
    """A Content-Length smaller than the range, in the first answer."""

    def body(self, content):
        super().body(content[:1000] if len(self.served.requests) == 1 else content)

    def head(self, status, headers):
        if len(self.served.requests) == 1:
            headers = [(k, "1000" if k == "Content-Length" else v) for k, v in headers]
        super().head(status, headers)


GOOD = [
    pytest.param(Handler, id="normal"),
    pytest.param(NoRanges, id="no-ranges"),
    pytest.param(NoLength, id="no-length"),
    pytest.param(Chunked, id="chunked"),
    pytest.param(Gzip, id="gzip"),
    pytest.param(Redirect, id="redirect"),
    pytest.param(RelativePieces, id="short-ranges"),
    pytest.param(StarTotal, id="total-unknown"),
    pytest.param(NoEtag, id="no-etag"),
    pytest.param(Dropping, id="dropping"),
    pytest.param(Slow, id="slow"),
    pytest.param(Busy, id="busy"),
    pytest.param(PromisesMore, id="length-too-large"),
    pytest.param(PromisesLess, id="length-too-small"),
]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("handler", GOOD)
def test_the_header_comes_through(handler, content):
    with serve(handler, {PATH: content}) as served:
        got = read(served)
    assert got.header == parse_header(content)
    assert len(served.requests) <= 12


def test_without_ranges_one_request_is_read_no_further_than_needed():
    with serve(NoRanges, {PATH: HEAD + bytes(40_000_000)}) as served:
        got = read(served)
    assert (len(served.requests), got.file_bytes) == (1, len(HEAD) + 40_000_000)
    assert got.n_bytes <= len(HEAD) * 1.2 + 65536


def test_after_a_drop_the_range_goes_on_where_it_broke():
    with serve(Dropping, {PATH: LARGE}) as served:
        read(served)
    starts = [int(r.removeprefix("bytes=").split("-")[0]) for r in served.ranges]
    assert starts == sorted(set(starts))
    assert starts[:2] == [0, 131072]


def test_later_ranges_go_straight_to_where_the_redirect_led():
    with serve(Redirect, {PATH: LARGE}) as served:
        got = read(served)
    assert [path for _, path, _ in served.requests] == [PATH] + [f"{PATH}?key=1"] * (len(served.requests) - 1)
    assert got.etag == '"lfs"'


def test_a_token_does_not_follow_a_redirect_to_another_host():
    with serve(files={PATH: LARGE}) as storage:
        elsewhere = storage.url.replace("127.0.0.1", "localhost") + PATH

        class Elsewhere(Handler):
            def answer(self, content):
                self.fail(302, ("Location", elsewhere))

        with serve(Elsewhere, {PATH: b""}) as hub:
            read(hub, headers={"Authorization": "Bearer secret"})
    assert "authorization" in hub.headers[0]
    assert storage.requests
    assert not any("authorization" in h for h in storage.headers)


def test_an_unchanged_file_is_one_small_answer():
    with serve(files={PATH: LARGE}) as served:
        got = read(served, known_etag='"v1"')
    assert (got.header, got.etag, len(served.requests), served.n_bytes) == (None, '"v1"', 1, 0)


def test_retry_after_is_obeyed_in_seconds():
    class Wait(Handler):
        def answer(self, content):
            if len(self.served.requests) == 1:
                return self.fail(429, ("Retry-After", "0"))
            return super().answer(content)

    waits = []
    with serve(Wait, {PATH: SMALL}) as served:
        assert read(served, waits=waits).n_requests == 2
    assert waits == [0.0]


NOW = 1_700_000_000


@pytest.mark.parametrize("value", ["3600", formatdate(NOW + 3600, usegmt=True)], ids=["seconds", "date"])
def test_a_wait_of_an_hour_is_not_waited_for(value, monkeypatch):
    monkeypatch.setattr("budget.source.http_errors.time", SimpleNamespace(time=lambda: NOW))

    class Later(Handler):
        def answer(self, content):
            self.fail(429, ("Retry-After", value))

    waits = []
    with serve(Later, {PATH: SMALL}) as served, pytest.raises(NetworkError, match="too many requests") as e:
        read(served, waits=waits)
    assert "in 3600 seconds" in e.value.hint
    assert (len(served.requests), waits) == (1, [])


def failing(status, *headers, body=b""):
    class Failing(Handler):
        def answer(self, content):
            self.fail(status, *headers, body=body)

    return Failing


class Loop(Handler):
    def answer(self, content):
        self.fail(302, ("Location", PATH))


class AlwaysDropping(Handler):
    def body(self, content):
        super().body(content[:1000])
        self.drop()


class Silent(Handler):
    """Says nothing until the client has gone."""

    def answer(self, content):
        self.rfile.read(1)
        self.close_connection = True


class WrongRange(Handler):
    def head(self, status, headers):
        super().head(status, [(k, "bytes 7-99/100" if k == "Content-Range" else v) for k, v in headers])


class NoContentRange(Handler):
    def head(self, status, headers):
        super().head(status, [(k, v) for k, v in headers if k != "Content-Range"])


class GzipRange(Handler):
    def version(self):
        return [("Content-Encoding", "gzip")]


class Changing(Handler):
    """Another version from the second range on, for a server that ignores If-Range."""

    def span(self, n_bytes):
        self.etag = f'"v{len(self.served.requests)}"'
        del self.headers["If-Range"]
        return super().span(n_bytes)


class ChangingHonest(Handler):
    """Another version from the second range on: the whole file, as If-Range asks."""

    def span(self, n_bytes):
        self.etag = f'"v{len(self.served.requests)}"'
        return super().span(n_bytes)


class Shrinking(Handler):
    def answer(self, content):
        super().answer(content if len(self.served.requests) == 1 else content[:1000])

    etag = None


class Crumbs(Handler):
    """One byte at a time."""

    def span(self, n_bytes):
        start, _ = super().span(n_bytes)
        return start, start + 1


BAD = [
    pytest.param(failing(401), LARGE, NetworkError, "wants you to log in", 1, id="401"),
    pytest.param(failing(403), LARGE, NetworkError, "refuses access", 1, id="403"),
    pytest.param(failing(404), LARGE, MissingFileError, "no such file on the server", 1, id="404"),
    pytest.param(failing(418), LARGE, NetworkError, "answers 418", 1, id="418"),
    pytest.param(failing(429), LARGE, NetworkError, "too many requests", 4, id="429"),
    pytest.param(failing(500), LARGE, NetworkError, r"the server failed \(500", 4, id="500"),
    pytest.param(failing(503), LARGE, NetworkError, r"the server failed \(503", 4, id="503"),
    pytest.param(Loop, LARGE, NetworkError, "redirects in circles", 11, id="redirect-loop"),
    pytest.param(AlwaysDropping, LARGE, NetworkError, "the connection broke", 4, id="always-dropping"),
    pytest.param(Silent, LARGE, NetworkError, "does not answer in time", 4, id="silent"),
    pytest.param(WrongRange, LARGE, NetworkError, "another range than was asked for", 1, id="wrong-range"),
    pytest.param(NoContentRange, LARGE, NetworkError, "another range than", 1, id="no-content-range"),
    pytest.param(GzipRange, LARGE, NetworkError, "compresses ranges", 1, id="gzip-range"),
    pytest.param(Changing, LARGE, NetworkError, "the file changed", 2, id="changed"),
    pytest.param(ChangingHonest, LARGE, NetworkError, "the file changed", 2, id="changed-if-range"),
    pytest.param(Shrinking, LARGE, NetworkError, "the file changed", 2, id="shrunk"),
    pytest.param(Crumbs, LARGE, NetworkError, "64 requests did not yield a header", 64, id="crumbs"),
    pytest.param(Handler, b"<!doctype html><title>Log in", BadModelError, "an HTML page", 1, id="html"),
    pytest.param(Handler, LARGE[:9000], BadModelError, "the file ends inside its header", 1, id="truncated"),
    pytest.param(
        NoLength, LARGE[:9000], BadModelError, "ends inside its header", 1, id="truncated-no-length"
    ),
    pytest.param(StarTotal, LARGE[:9000], BadModelError, "ends inside its header", 2, id="truncated-star"),
    pytest.param(Handler, b"", BadModelError, "the file is empty", 1, id="empty"),
    pytest.param(NoRanges, b"", BadModelError, "the file is empty", 1, id="empty-no-ranges"),
    pytest.param(Handler, SMALL[:-1], BadModelError, "the file is incomplete", 1, id="data-cut"),
]


@pytest.mark.parametrize(("handler", "content", "error", "message", "n_requests"), BAD)
def test_a_failure_has_its_own_message(handler, content, error, message, n_requests):
    policy = replace(QUICK, read_s=0.1) if handler is Silent else QUICK
    with serve(handler, {PATH: content}) as served, pytest.raises(error, match=message) as e:
        read(served, policy=policy)
    assert len(served.requests) <= n_requests
    assert e.value.hint
    expected = ExitCode.BAD_MODEL if issubclass(error, BadModelError) else ExitCode.NETWORK
    assert e.value.exit_code == expected
    assert served.url + PATH in e.value.message


class Endless(Handler):
    """A body without end, whatever was asked for."""

    def answer(self, content):
        self.head(200, [])
        self.wfile.write(HEAD[:300_000])
        while True:
            self.wfile.write(b"\x01" * 65536)
            self.served.n_bytes += 65536


def test_an_endless_body_is_read_up_to_the_limit_only():
    head = ghost.header_bytes({"metadata": {"a": ["arr:u8", [0] * 3_000_000]}, "tensors": []})

    class EndlessArray(Endless):
        def answer(self, content):
            self.head(200, [])
            self.wfile.write(head[:100_000])
            while True:
                self.wfile.write(b"\0" * 65536)

    policy = replace(QUICK, limit_bytes=1_000_000)
    with (
        serve(EndlessArray, {PATH: b"x"}) as served,
        pytest.raises(BadModelError, match="longer than 1,000,000"),
    ):
        read(served, policy=policy)
    assert len(served.requests) == 1


class EndlessRange(Handler):
    """The range that was asked for, and then more and more."""

    def body(self, content):
        super().body(content)
        self.close_connection = True
        while True:
            self.wfile.write(b"\0" * 65536)


def test_what_follows_a_range_is_not_read():
    with serve(EndlessRange, {PATH: SMALL}) as served:
        got = read(served)
    assert got.header == parse_header(SMALL)


class Dripping(Handler):
    """A few bytes at a time, for ever: only the client can end it."""

    def body(self, content):
        try:
            while True:
                slowly(self.wfile.write, content[:200], step=100, pause_s=0.02)
        except OSError:
            self.left.set()


def test_a_dripping_server_is_given_up_at_the_deadline():
    left = threading.Event()
    policy = replace(QUICK, deadline_s=0.3)
    with (
        serve(Dripping, {PATH: LARGE}, left=left) as served,
        pytest.raises(NetworkError, match="too slow"),
    ):
        read(served, policy=policy)
    assert left.wait(60)


def test_nobody_listens():
    with (
        unanswered() as address,
        new_client(QUICK) as client,
        pytest.raises(NetworkError, match="no connection") as e,
    ):
        read_remote_header(f"http://{address}/m.gguf", client=client, policy=QUICK, sleep=lambda _: None)
    assert e.value.exit_code == ExitCode.NETWORK


def test_messages_show_neither_password_nor_signature():
    with serve(failing(403), {PATH: b""}) as served, new_client(QUICK) as client:
        url = served.url.replace("http://", "http://me:secret@") + PATH + "?signature=abc"
        with pytest.raises(NetworkError) as e:
            read_remote_header(url, client=client, policy=QUICK)
    assert "secret" not in str(e.value)
    assert "abc" not in str(e.value)


def test_a_proxy_from_the_environment_is_used(monkeypatch):
    class Proxy(Handler):
        def do_GET(self):  # noqa: N802
            self.path = "/" + self.path.split("/", 3)[3]
            super().do_GET()

    with serve(Proxy, {PATH: SMALL}) as served:
        monkeypatch.setenv("HTTP_PROXY", served.url)
        monkeypatch.setenv("NO_PROXY", "")
        with new_client(QUICK) as client:
            got = read_remote_header("http://models.example/m.gguf", client=client, policy=QUICK)
    assert got.header == parse_header(SMALL)
    assert served.headers[0]["host"] == "models.example"


@pytest.mark.parametrize("name", ["ALL_PROXY", "SSL_CERT_FILE"])
def test_settings_that_cannot_be_used_are_named(monkeypatch, name):
    monkeypatch.setenv(name, "nonsense://nowhere" if name == "ALL_PROXY" else "/nowhere/ca.pem")
    with pytest.raises(NetworkError, match="proxy or certificate settings") as e:
        new_client(QUICK)
    assert name in e.value.hint


def test_without_certificates_no_https_address_is_asked():
    with new_client(QUICK, encrypted=False) as client, pytest.raises(EncryptedError, match="https address"):
        read_remote_header("https://127.0.0.1:9/m.gguf", client=client, policy=QUICK)
