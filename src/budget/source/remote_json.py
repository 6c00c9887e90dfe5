"""Small JSON documents of the web APIs that list models."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from budget.errors import NetworkError
from budget.source.http import PATIENT, Policy
from budget.source.http_errors import of_exception, of_status, shown
from budget.source.remote_file import with_retries
from budget.units import MiB

if TYPE_CHECKING:
    import httpx

MAX_BYTES = 32 * MiB
"""Longest document read; a repository with a thousand files takes 1 MiB."""


def fetch_json(
    url: str, *, client: httpx.Client, headers: Mapping[str, str] | None = None, policy: Policy = PATIENT,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Any, str | None]:  # fmt: skip
    """The document at `url`, and the address of the next page where there is one.

    Raises:
        MissingFileError: there is no such document.
        NetworkError: the server cannot be reached, refuses, or answers something else than JSON.
    """
    return with_retries(policy, sleep, lambda: _fetch(url, client, headers or {}))


def _fetch(url: str, client: httpx.Client, headers: Mapping[str, str]) -> tuple[Any, str | None]:
    import json

    import httpx

    try:
        with client.stream("GET", url, headers={"Accept": "application/json", **headers}) as response:
            if response.status_code != 200:
                raise of_status(url, response)
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise NetworkError(
                        f"{shown(url)}: more than {MAX_BYTES:,} bytes of JSON", hint="check the address"
                    )
            following = response.links.get("next", {}).get("url")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise of_exception(url, error) from error
    try:
        return json.loads(body), following
    except ValueError as error:
        raise NetworkError(
            f"{shown(url)}: the server did not send JSON ({error})", hint="check the address"
        ) from error
