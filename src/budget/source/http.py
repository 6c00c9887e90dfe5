"""The header of a file on a web server, by ranges, reading no more than it takes.

httpx, because it keeps one connection alive over the ranges, streams, limits redirects, and takes proxies and
CA bundles from the environment. Import and client on top of the interpreter's 8 ms: httpx 120 ms,
huggingface_hub 150 ms (and it brings httpx, and a native transfer library), urllib.request 30 ms, but that one
opens a connection per request. Nothing is imported before a request is made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from budget.errors import BadModelError, NetworkError
from budget.gguf.header import MAX_HEADER_BYTES, Header, NeedMoreBytesError, parse_header
from budget.source.http_errors import shown
from budget.units import KiB

if TYPE_CHECKING:
    import httpx

    from budget.source.remote_file import RemoteFile

FIRST_BYTES = 256 * KiB
"""The first range: enough for everything but a vocabulary."""
LEAST_BYTES = 64 * KiB
"""Smallest later range: a request costs more than these bytes do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient and how modest a remote reader is."""

    limit_bytes: int = MAX_HEADER_BYTES
    """Longest header read."""
    n_attempts: int = 4
    """Times that one range is tried."""
    first_wait_s: float = 0.5
    """Before the second attempt; doubled each time."""
    longest_wait_s: float = 30.0
    """A server that asks for a longer wait (Retry-After) is not waited for."""
    connect_s: float = 10.0
    read_s: float = 20.0
    """Longest silence of a server."""
    deadline_s: float = 300.0
    """Longest time for one header, waits included."""
    n_requests: int = 64
    """Most requests for one header."""


PATIENT = Policy()


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHeader:
    """What was read from a server."""

    header: Header | None
    """None where the server said that nothing changed."""
    file_bytes: int | None
    """Size of the file; None where the server does not say."""
    etag: str | None
    n_requests: int
    n_bytes: int
    """Bytes of the file that were read."""


class EncryptedError(NetworkError):
    """A client without certificates was asked for, or redirected to, an https address."""


def new_client(policy: Policy = PATIENT, *, encrypted: bool = True) -> httpx.Client:
    """A client with one connection; proxies and CA bundle come from the environment.

    Args:
        policy: limits.
        encrypted: whether it speaks https. Loading the certificates takes longer than everything else here; without
            them an https address is an `EncryptedError`, and the client trusts no certificate at all.

    Raises:
        NetworkError: the environment asks for a proxy or a certificate file that cannot be used.
    """
    import ssl

    import httpx

    from budget import __version__

    try:
        return httpx.Client(
            verify=True if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            event_hooks={} if encrypted else {"request": [_refuse_https]},
            timeout=httpx.Timeout(policy.read_s, connect=policy.connect_s),
            limits=httpx.Limits(max_connections=1),
            follow_redirects=True,
            max_redirects=10,
            headers={"User-Agent": f"budget/{__version__}", "Accept-Encoding": "identity"},
        )
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        raise NetworkError(
            f"the proxy or certificate settings of the environment cannot be used: {error}",
            hint="check HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR",
        ) from error


def _refuse_https(request: httpx.Request) -> None:
    """Called before each request, those of redirects too."""
    if request.url.scheme == "https":
        raise EncryptedError(f"{shown(str(request.url))}: an https address, and no certificates were loaded")


def read_remote_header(
    url: str, *, client: httpx.Client, headers: Mapping[str, str] | None = None, known_etag: str | None = None,
    policy: Policy = PATIENT, sleep: Callable[[float], None] = time.sleep, quiet: bool = False,
) -> RemoteHeader:  # fmt: skip
    """The header of the GGUF file at `url`.

    Args:
        url: an http or https address.
        client: from `new_client`; files of one server share a connection.
        headers: extra request headers, such as Authorization; a redirect to another host does not get that.
        known_etag: of the version whose header the caller has; the server may answer that it is unchanged.
        policy: limits.
        sleep: waits between attempts.
        quiet: no progress bar, whoever looks.

    Raises:
        BadModelError: there is no such file, or it is no GGUF file that llama.cpp would load.
        NetworkError: the server cannot be reached, refuses, or answers nonsense.
    """
    from budget.source.progress import ReadProgress
    from budget.source.remote_file import RemoteFile

    with ReadProgress(shown(url), quiet=quiet) as progress:
        file = RemoteFile(client, url, headers or {}, known_etag, policy, sleep, progress.update)
        try:
            return _read(file, policy)
        finally:
            file.close()


def _read(file: RemoteFile, policy: Policy) -> RemoteHeader:
    """Grow `file` until its header parses."""
    want_bytes, header = FIRST_BYTES, None
    while header is None and not file.unchanged:
        file.grow(min(want_bytes, policy.limit_bytes))
        if file.unchanged:
            break
        try:
            header = _parse(file, policy)
        except NeedMoreBytesError as need:
            want_bytes = max(need.likely_bytes, len(file.buf) + LEAST_BYTES)
    return RemoteHeader(
        header=header, file_bytes=file.file_bytes, etag=file.etag, n_requests=file.n_requests, n_bytes=len(file.buf)
    )  # fmt: skip


def _parse(file: RemoteFile, policy: Policy) -> Header:
    file_bytes = len(file.buf) if file.ended else file.file_bytes
    if file_bytes == 0:
        raise BadModelError(f"{shown(file.url)}: the file is empty", hint="check the address")
    try:
        return parse_header(file.buf, file_bytes=file_bytes, limit_bytes=policy.limit_bytes)
    except BadModelError as error:
        raise error.at(shown(file.url)) from error
