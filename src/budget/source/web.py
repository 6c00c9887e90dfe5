"""Remote headers with the cache in front: one connection, made when the cache does not have the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from budget.gguf.header import Header
from budget.source.cache import FRESH_S, HeaderCache

if TYPE_CHECKING:
    import httpx

    from budget.source.http import Policy

T = TypeVar("T")


class WebReader:
    """Reads headers and listings of web addresses; a context manager that closes its connection."""

    def __init__(
        self, cache: HeaderCache | None = None, *, policy: Policy | None = None,
        sleep: Callable[[float], None] = time.sleep, quiet: bool = False,
    ) -> None:  # fmt: skip
        self.cache = cache
        self.quiet = quiet
        self.sleep = sleep
        self._policy = policy
        self._client: httpx.Client | None = None
        self._is_encrypted = False

    def __enter__(self) -> WebReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def policy(self) -> Policy:
        """Limits of each read."""
        from budget.source.http import PATIENT

        return self._policy or PATIENT

    def _ask(self, url: str, ask: Callable[[httpx.Client], T]) -> T:
        """What `ask` makes of a client for `url`; once more with certificates where http redirects to https."""
        from budget.source.http import EncryptedError

        try:
            return ask(self._connect(encrypted=not url.lower().startswith("http:")))
        except EncryptedError:
            return ask(self._connect(encrypted=True))

    def _connect(self, *, encrypted: bool) -> httpx.Client:
        """The connection, made on first use, and again where it now has to be encrypted."""
        if self._client is None or (encrypted and not self._is_encrypted):
            from budget.source.http import new_client

            self._close()
            self._client, self._is_encrypted = new_client(self.policy, encrypted=encrypted), encrypted
        return self._client

    def header(
        self, url: str, *, headers: Mapping[str, str] | None = None, immutable: bool = False
    ) -> tuple[Header, int | None]:  # fmt: skip
        """The header of the file at `url`, and the size of that file in bytes where the server gives it.

        Args:
            url: an http or https address.
            headers: extra request headers, such as Authorization.
            immutable: `url` names its content (a commit, a digest), so a cached header is never out of date.

        Raises:
            BadModelError, NetworkError: as `read_remote_header`.
        """
        known = self.cache.header(_key(url)) if self.cache is not None else None
        if known is not None and (immutable or known.is_fresh()):
            return known.header, known.file_bytes
        from budget.source.http import read_remote_header

        got = self._ask(url, lambda client: read_remote_header(
            url, client=client, headers=headers, known_etag=known.validator if known else None,
            policy=self.policy, sleep=self.sleep, quiet=self.quiet,
        ))  # fmt: skip
        header, file_bytes = got.header, got.file_bytes
        if header is None:
            if known is None:
                raise AssertionError("the server can only confirm a version that it was asked about")
            header, file_bytes = known.header, known.file_bytes
        validator = got.etag or ("immutable" if immutable else None)
        if self.cache is not None and validator is not None:
            self.cache.put_header(_key(url), header, validator=validator, file_bytes=file_bytes)
        return header, file_bytes

    def json(self, url: str, *, headers: Mapping[str, str] | None = None, immutable: bool = False) -> Any:
        """The JSON document at `url`; lists that come in pages are joined.

        Raises:
            MissingFileError, NetworkError: as `fetch_json`.
        """
        entry = self.cache.get(_key(url)) if self.cache is not None else None
        if entry is not None and (immutable or 0 <= time.time() - entry["saved_s"] < FRESH_S):
            return entry["value"]
        value: Any = None
        following: str | None = url
        while following is not None:
            page, following = self._page(following, headers)
            value = value + page if isinstance(value, list) and isinstance(page, list) else page
        if self.cache is not None:
            self.cache.put(_key(url), value)
        return value

    def _page(self, url: str, headers: Mapping[str, str] | None) -> tuple[Any, str | None]:
        """One document, and the address of the next page where there is one."""
        from budget.source.remote_json import fetch_json

        return self._ask(
            url,
            lambda client: fetch_json(
                url, client=client, headers=headers, policy=self.policy, sleep=self.sleep
            ),
        )


def _key(url: str) -> str:
    """A cache key that does not hold passwords or signatures; an address without any is its own key."""
    if "?" not in url and "@" not in url:
        return f"url:{url}"
    import hashlib

    return f"url:{hashlib.sha256(url.encode('utf-8', 'backslashreplace')).hexdigest()}"
