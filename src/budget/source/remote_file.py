"""The first bytes of one file on a web server: they grow on demand and are never fetched twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from budget.errors import NetworkError, UsageError
from budget.source.http_errors import TransientError, of_exception, of_status, shown

if TYPE_CHECKING:
    import httpx

    from budget.source.http import Policy

_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)\Z")


T = TypeVar("T")


def with_retries(policy: Policy, sleep: Callable[[float], None], attempt: Callable[[], T]) -> T:
    """What `attempt` returns, tried again after transient failures."""
    from tenacity import (
        RetryCallState,
        Retrying,
        retry_if_exception_type,
        stop_after_attempt,
        wait_random_exponential,
    )

    backoff = wait_random_exponential(multiplier=policy.first_wait_s, max=policy.longest_wait_s)

    def wait_s(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if not isinstance(error, TransientError) or error.wait_s is None:
            return backoff(state)
        if error.wait_s > policy.longest_wait_s:
            raise NetworkError(error.message, hint=error.hint)
        return error.wait_s

    retrying = Retrying(
        stop=stop_after_attempt(policy.n_attempts),
        retry=retry_if_exception_type(TransientError),
        wait=wait_s,
        sleep=sleep,
        reraise=True,
    )
    return retrying(attempt)


class RemoteFile:
    """A prefix of the file at `url`."""

    def __init__(
        self, client: httpx.Client, url: str, headers: Mapping[str, str], known_etag: str | None, policy: Policy,
        sleep: Callable[[float], None], progress: Callable[[int, int], object],
    ) -> None:  # fmt: skip
        self.client = client
        self.url = url
        self.headers = headers
        self.known_etag = known_etag
        self.policy = policy
        self.sleep = sleep
        self.progress = progress
        """Called with the bytes read and wanted."""
        self.buf = bytearray()
        self.file_bytes: int | None = None
        """Size of the file, as the server gives it."""
        self.etag: str | None = None
        self.ended = False
        """Whether `buf` is the whole file."""
        self.unchanged = False
        """Whether the server says that `known_etag` is still right."""
        self.n_requests = 0
        self._place: str | None = None
        """Where redirects led; later ranges go there at once."""
        self._validator: str | None = None
        """Strong ETag or date for If-Range."""
        self._response: httpx.Response | None = None
        """The one answer of a server without ranges, read on as needed."""
        self._chunks: Iterator[bytes] = iter(())
        self._deadline = time.monotonic() + policy.deadline_s

    def grow(self, want_bytes: int) -> None:
        """Read on until there are `want_bytes`, or the file ends; what came before a failure is kept."""
        with_retries(self.policy, self.sleep, lambda: self._grow(want_bytes))

    def close(self) -> None:
        """Give back a connection that is still open."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _grow(self, want_bytes: int) -> None:
        import httpx

        while len(self.buf) < want_bytes and not self.ended and not self.unchanged:
            try:
                if self._response is None:
                    self._request(want_bytes)
                if self._response is not None:
                    self._read_on(want_bytes)
            except httpx.HTTPError as error:
                self._give_up_stream()
                raise of_exception(self.url, error) from error

    def _give_up_stream(self) -> None:
        """A broken answer without ranges cannot be continued."""
        if self._response is not None:
            self.close()
            raise NetworkError(
                f"{shown(self.url)}: the connection broke, and the server cannot continue (no ranges)",
                hint="run it again",
            )

    def _request(self, want_bytes: int) -> None:
        """Ask for the bytes from the end of `buf` to `want_bytes`, and take them."""
        self._check_deadline()
        self.n_requests += 1
        if self.n_requests > self.policy.n_requests:
            raise NetworkError(
                f"{shown(self.url)}: {self.policy.n_requests} requests did not yield a header",
                hint="the server sends too little at a time",
            )
        response = self._send(want_bytes)
        keep = False
        try:
            keep = self._take(response, want_bytes)
        finally:
            if not keep:
                response.close()

    def _send(self, want_bytes: int) -> httpx.Response:
        import httpx

        start = len(self.buf)
        headers = {"Range": f"bytes={start}-{want_bytes - 1}"}
        if start and self._validator:
            headers["If-Range"] = self._validator
        elif not start and self.known_etag:
            headers["If-None-Match"] = self.known_etag
        if self._place is None or _origin(self._place) == _origin(self.url):
            headers |= self.headers
        try:
            request = self.client.build_request("GET", self._place or self.url, headers=headers)
        except (httpx.InvalidURL, ValueError) as error:
            raise UsageError(
                f"not a usable address: {shown(self.url)} ({error})", hint="check the address"
            ) from error
        try:
            return self.client.send(request, stream=True)
        except httpx.InvalidURL as error:
            raise NetworkError(
                f"{shown(self.url)}: redirected to nonsense ({error})", hint="check it"
            ) from error

    def _take(self, response: httpx.Response, want_bytes: int) -> bool:
        """Read what `response` holds; whether it stays open, to be read on later."""
        status, start = response.status_code, len(self.buf)
        if status in (401, 403) and self._place is not None:
            self._place = None  # a signed address has expired: go through the redirect again
            return False
        if status == 304 and self.known_etag and not start:
            self.etag, self.unchanged = self.known_etag, True
            return False
        if status == 416:
            self._end_at(response)
            return False
        if status not in (200, 206):
            raise of_status(self.url, response)
        self._check_redirect(response)
        if status == 206:
            self._take_range(response, want_bytes)
            return False
        if start:
            raise _changed(self.url)
        self._start_stream(response)
        return True

    def _check_redirect(self, response: httpx.Response) -> None:
        if self.url.startswith("https:") and response.url.scheme != "https":
            raise NetworkError(
                f"{shown(self.url)}: redirected to an address without encryption", hint="check the address"
            )
        if response.history:
            self._place = str(response.url)

    def _end_at(self, response: httpx.Response) -> None:
        """Status 416: there is nothing at this offset."""
        match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
        total = int(match[3]) if match and match[3] != "*" else None
        if total is not None and total != len(self.buf):
            raise _changed(self.url)
        self.file_bytes, self.ended = len(self.buf), True

    def _take_range(self, response: httpx.Response, want_bytes: int) -> None:
        """Status 206."""
        start = len(self.buf)
        match = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
        if match is None or match[1] is None or int(match[1]) != start or int(match[2]) < start:
            raise NetworkError(
                f"{shown(self.url)}: the server sends another range than was asked for "
                f"({response.headers.get('content-range', 'none')!r} for byte {start:,})",
                hint="download the file and pass its path",
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise NetworkError(
                f"{shown(self.url)}: the server compresses ranges", hint="download the file first"
            )
        self._note_version(response, None if match[3] == "*" else int(match[3]))
        if self.unchanged:
            return
        stop = min(int(match[2]) + 1, want_bytes)
        self._append(response, stop, want_bytes)
        if len(self.buf) == start:
            raise TransientError(
                f"{shown(self.url)}: the server sent nothing", hint="run it again in a while"
            )
        self.ended = self.file_bytes is not None and len(self.buf) >= self.file_bytes

    def _note_version(self, response: httpx.Response, total: int | None) -> None:
        """Remember which version of the file this is, or refuse another one than before."""
        etag = response.headers.get("etag")
        if not self.buf:
            self.etag, self.file_bytes = _first_etag(response) or etag, total
            strong = etag if etag and not etag.startswith("W/") else None
            self._validator = strong or response.headers.get("last-modified")
            self.unchanged = self.known_etag is not None and self.etag == self.known_etag
            self._version = (etag, total)
        elif (etag, total) != self._version:
            raise _changed(self.url)

    def _append(self, response: httpx.Response, stop: int, want_bytes: int) -> None:
        """Take bytes until `buf` has `stop`; a body of just that length is read out, to keep the connection."""
        exact = response.headers.get("content-length") == str(stop - len(self.buf))
        for chunk in response.iter_raw():
            self.buf += chunk[: stop - len(self.buf)]
            self.progress(len(self.buf), want_bytes)
            if len(self.buf) >= stop and not exact:
                return
            self._check_deadline()

    def _start_stream(self, response: httpx.Response) -> None:
        """Status 200: the server sends the whole file, and it is read from the front as far as needed."""
        self.etag = _first_etag(response) or response.headers.get("etag")
        length = response.headers.get("content-length", "")
        plain = response.headers.get("content-encoding", "identity") == "identity"
        self.file_bytes = int(length) if plain and length.isdigit() else None
        self._response = response
        self._chunks = response.iter_bytes()

    def _read_on(self, want_bytes: int) -> None:
        """Read on in the one answer of a server without ranges."""
        for chunk in self._chunks:
            self.buf += chunk
            self.progress(len(self.buf), want_bytes)
            self._check_deadline()
            if len(self.buf) >= want_bytes:
                return
        self.ended = True
        self.close()

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise NetworkError(
                f"{shown(self.url)}: {len(self.buf):,} bytes in {self.policy.deadline_s:.0f} seconds: too slow",
                hint="download the file and pass its path",
            )


def _changed(url: str) -> NetworkError:
    return NetworkError(f"{shown(url)}: the file changed while it was read", hint="run it again")


def _origin(url: str) -> tuple[str, ...]:
    """Scheme, host and port of `url`."""
    return tuple(url.split("/", 3)[:3])


def _first_etag(response: httpx.Response) -> str | None:
    """The ETag that Hugging Face gives a large file before it redirects to its storage."""
    first = response.history[0] if response.history else response
    etag: str | None = first.headers.get("x-linked-etag")
    return etag
