"""Pages of sweeps: what they say, that they need nothing else, and that they can be read in any way."""

from __future__ import annotations

import re
from base64 import b64decode
from xml.etree import ElementTree

import pytest

from budget.planning.sweep import sweep
from plans import described, machine, request

pytest.importorskip("matplotlib")

from budget.render import figure_look, page


def found():
    axes = {"ctx": (4096, 8192, 16384, 32768), "kv": ("f16", "q8_0")}
    return sweep(request(described(), machine(24, ram_gib=64)), axes)


def test_equal_sweeps_give_equal_pages():
    assert page.page(found(), "m.gguf") == page.page(found(), "m.gguf")


def document():
    return page.page(found(), "a<b>.gguf").decode()


def test_a_page_says_what_it_holds_for():
    from budget import __version__
    from budget.model.architectures import VALIDATED_COMMIT

    text = document()
    for words in (
        "a&lt;b&gt;.gguf", f"budget {__version__}, llama.cpp {VALIDATED_COMMIT}", "CUDA0, may use 24.00 GiB",
        "<dt>budget</dt><dd>auto</dd>", "--ctx 4096,8192,16384,32768 --kv f16,q8_0",
    ):  # fmt: skip
        assert words in text
    assert not re.search(r"\b20\d\d-\d\d-\d\d", text)


def test_a_page_needs_nothing_from_elsewhere():
    text = document()
    assert not re.search(r"(src|href|srcset)=\"(?!data:)", text)
    assert not re.search(r"url\(|@import|<script|<link", text)
    for data in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text):
        assert not re.search(rb"(href=\"(?!#)|url\((?!#)|@import|<script)", b64decode(data))


def test_a_page_can_be_read_aloud():
    root = ElementTree.fromstring(re.sub(r"<meta[^>]*>|<source[^>]*>|<!doctype html>", "", document()).replace(
        "\">\n</picture>", "\"/>\n</picture>"
    ))  # fmt: skip
    assert root.get("lang") == "en"
    (image,) = root.iter("img")
    assert "largest context that fits" in image.get("alt")
    tables = list(root.iter("table"))
    assert tables
    for table in tables:
        assert table.find("caption").text
        assert {th.get("scope") for th in table.iter("th")} == {"col", "row"}
        assert all(row.find("th") is not None for row in table.iter("tr"))


def test_a_page_follows_the_readers_colours():
    text = document()
    assert "color-scheme: light dark" in text
    assert "@media (prefers-color-scheme: dark)" in text
    assert 'media="(prefers-color-scheme: dark)"' in text
    light, dark = (
        b64decode(data).decode() for data in reversed(re.findall(r"svg\+xml;base64,([^\"]+)", text))
    )
    assert figure_look.LIGHT["back"] in light
    assert figure_look.DARK["back"] in dark
