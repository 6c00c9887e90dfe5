"""What the answers and failures of a web server mean for the user."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from budget.errors import BudgetError, NetworkError
from budget.source.errors import MissingFileError

if TYPE_CHECKING:
    import httpx

_AGAIN = "run it again in a while"


class TransientError(NetworkError):
    """A failure that may pass: worth another attempt."""

    def __init__(self, message: str, *, hint: str | None = None, wait_s: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s
        """How long the server asks to wait, seconds."""


def shown(url: str) -> str:
    """`url` as it may be printed: without user, password and signed query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def of_status(url: str, response: httpx.Response) -> BudgetError:
    """The error for a status that is no success."""
    status = response.status_code
    name = shown(url)
    if status in (404, 410):
        return MissingFileError(f"{name}: no such file on the server ({status})", hint="check the address")
    if status == 401:
        return NetworkError(
            f"{name}: the server wants you to log in (401)", hint=_login_hint(response.headers)
        )
    if status == 403:
        return NetworkError(f"{name}: the server refuses access (403)", hint=_login_hint(response.headers))
    if status == 407:
        return NetworkError(
            f"{name}: the proxy wants you to log in (407)", hint="put user and password into HTTPS_PROXY"
        )
    if status == 429:
        return TransientError(
            f"{name}: too many requests (429)",
            hint=_wait_hint(response.headers),
            wait_s=retry_after_s(response.headers),
        )
    if status in (408, 425) or status >= 500:
        return TransientError(
            f"{name}: the server failed ({status} {response.reason_phrase})".rstrip(),
            hint=_AGAIN,
            wait_s=retry_after_s(response.headers),
        )
    return NetworkError(
        f"{name}: the server answers {status} {response.reason_phrase}", hint="check the address"
    )


def of_exception(url: str, error: Exception) -> NetworkError:
    """The error for a request that got no answer, or half of one."""
    import httpx

    name = shown(url)
    if isinstance(error, httpx.TooManyRedirects):
        return NetworkError(f"{name}: the server redirects in circles", hint="check the address")
    if isinstance(error, httpx.ConnectTimeout | httpx.ReadTimeout | httpx.WriteTimeout | httpx.PoolTimeout):
        return TransientError(f"{name}: the server does not answer in time", hint=_AGAIN)
    if isinstance(error, httpx.ProxyError):
        return NetworkError(f"{name}: the proxy refuses: {error}", hint="check HTTPS_PROXY and NO_PROXY")
    if isinstance(error, httpx.UnsupportedProtocol):
        return NetworkError(f"{name}: not an address of the web: {error}", hint="use https://")
    if isinstance(error, httpx.ConnectError):
        return _of_connect_error(name, error)
    if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        return TransientError(f"{name}: the connection broke ({error})", hint=_AGAIN)
    return NetworkError(f"{name}: {type(error).__name__}: {error}", hint="check the address and the network")


def _of_connect_error(name: str, error: Exception) -> NetworkError:
    text = str(error)
    if "CERTIFICATE" in text.upper() or "SSL" in text.upper():
        return NetworkError(
            f"{name}: the server's certificate is not trusted ({text})",
            hint="behind a company proxy, set SSL_CERT_FILE to its CA bundle",
        )
    if "Name or service" in text or "nodename" in text or "getaddrinfo" in text or "name resolution" in text:
        return TransientError(
            f"{name}: there is no such host ({text})", hint="check the address and the network"
        )
    return TransientError(f"{name}: no connection ({text})", hint="check the address and the network")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; None without it."""
    text = headers.get("retry-after")
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _wait_hint(headers: Mapping[str, str]) -> str:
    wait_s = retry_after_s(headers)
    return _AGAIN if wait_s is None else f"run it again in {wait_s:.0f} seconds, as the server asks"


def _login_hint(headers: Mapping[str, str]) -> str:
    if headers.get("x-error-code") == "GatedRepo":
        return "accept the model's licence on its page, then set HF_TOKEN to a token that may read it"
    if "x-error-code" in headers or "x-request-id" in headers:
        return "set HF_TOKEN, or run 'hf auth login'; the name of the repository may also be wrong"
    return "check the address, and whether it needs a login"
