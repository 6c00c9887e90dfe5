"""Web servers on loopback that behave well, or badly in one chosen way, and count what they are asked."""

from __future__ import annotations

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from budget.source.http import Policy

QUICK = Policy(first_wait_s=0.0, longest_wait_s=0.2, connect_s=60.0, read_s=60.0, deadline_s=600.0)
"""For tests: no waits between attempts, and limits that a busy machine does not reach by itself."""


@dataclass
class Served:
    """What a server saw."""

    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Method, path and Range of each request."""
    headers: list[dict[str, str]] = field(default_factory=list)
    n_bytes: int = 0
    """Body bytes written."""
    n_connections: int = 0
    url: str = ""

    @property
    def ranges(self):
        return [r for _, _, r in self.requests]


class Handler(BaseHTTPRequestHandler):
    """A good server of `self.files`; subclasses break one thing each."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    files: dict[str, bytes]
    served: Served
    etag = '"v1"'
    ranges = True

    def setup(self):
        super().setup()
        self.served.n_connections += 1

    def do_GET(self):
        self.served.requests.append((self.command, self.path, self.headers.get("Range")))
        self.served.headers.append({k.lower(): v for k, v in self.headers.items()})
        content = self.files.get(self.path.split("?")[0])
        if content is None:
            return self.fail(404)
        return self.answer(content)

    def answer(self, content):
        if self.etag and self.headers.get("If-None-Match") == self.etag:
            return self.head(304, [("ETag", self.etag)])
        span = self.span(len(content))
        if span is None:
            self.head(200, [("Content-Length", str(len(content))), *self.version()])
            return self.body(content)
        start, stop = span
        if start >= len(content):
            return self.head(416, [("Content-Range", f"bytes */{len(content)}"), ("Content-Length", "0")])
        self.head(
            206,
            [
                ("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}"),
                ("Content-Length", str(stop - start)),
                *self.version(),
            ],
        )
        return self.body(content[start:stop])

    def span(self, n_bytes):
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match or not self.ranges or self.headers.get("If-Range", self.etag) != self.etag:
            return None
        return int(match[1]), min(int(match[2] or n_bytes - 1) + 1, n_bytes)

    def version(self):
        return [("ETag", self.etag)] if self.etag else []

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def body(self, content):
        for at in range(0, len(content), 65536):
            piece = content[at : at + 65536]
            self.wfile.write(piece)
            self.served.n_bytes += len(piece)

    def fail(self, status, *headers, body=b""):
        self.head(status, [("Content-Length", str(len(body))), *headers])
        self.wfile.write(body)

    def drop(self):
        """Break the connection without a word."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(2)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that go away are part of these tests."""


@contextmanager
def serve(handler=Handler, files=None, **attributes):
    """Run `handler` on loopback; gives what it saw, with its address."""
    served = Served()
    kind = type("Chosen", (handler,), {"files": files or {}, "served": served, "state": {}, **attributes})
    with Server(("127.0.0.1", 0), kind) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def slowly(write, content, *, step, pause_s):
    for at in range(0, len(content), step):
        write(content[at : at + step])
        time.sleep(pause_s)
