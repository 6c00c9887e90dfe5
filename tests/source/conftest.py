"""No test here may meet the caches or tokens of another, and none needs the certificates of the whole web."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest


@pytest.fixture(scope="session")
def one_certificate(tmp_path_factory):
    """The first certificate of the bundle: reading all of them takes 50 ms for every client."""
    first, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("certificates") / "one.pem"
    path.write_text(first + end, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch, one_certificate):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))
    return tmp_path / "home"
