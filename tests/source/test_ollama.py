"""ollama:// names against a local store and a small registry, made after their documented formats."""

from __future__ import annotations

import json

import pytest

from budget.errors import BadModelError, NetworkError, UsageError
from budget.gguf.header import parse_header
from budget.source import ollama, open_model
from budget.source.errors import MissingFileError
from budget.source.ollama import parse_name
from ports import unanswered
from source.on_disk import digest, install, manifest
from source.servers import Handler, serve
from source.specs import BIG, MODEL


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("ollama://llama3.1", ("registry.ollama.ai", "library", "llama3.1", "latest")),
        ("ollama://llama3.1:8b", ("registry.ollama.ai", "library", "llama3.1", "8b")),
        ("ollama://someone/model:q4", ("registry.ollama.ai", "someone", "model", "q4")),
        ("ollama://hf.co/user/repo:Q4_K_M", ("hf.co", "user", "repo", "Q4_K_M")),
        ("ollama://localhost:5000/a/b", ("localhost:5000", "a", "b", "latest")),
    ],
)
def test_names(spec, expected):
    name = parse_name(spec)
    assert (name.host, name.namespace, name.name, name.tag) == expected


@pytest.mark.parametrize(
    "spec", ["ollama://", "ollama:///x", "ollama://a/../b", "ollama://a:b c", "ollama://h/a/b/c/d"]
)
def test_what_is_no_name(spec):
    with pytest.raises(UsageError, match="not a model of Ollama"):
        parse_name(spec)


def test_a_pulled_model_is_read_from_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    install(tmp_path, MODEL)
    header, source = open_model("ollama://llama3.1:8b")
    assert header == parse_header(MODEL)
    assert (source.file_bytes, source.path) == (
        len(MODEL),
        str(ollama.blob_path(tmp_path, parse_name("ollama://llama3.1:8b"))),
    )


def test_the_default_store_is_in_the_home_folder(own_home):
    install(own_home / ".ollama/models", MODEL, tag="latest")
    assert open_model("ollama://llama3.1")[0] == parse_header(MODEL)


def test_a_projector_is_known():
    model = ollama.read_manifest(manifest(MODEL, b"clip"), "m")
    assert (model.digest, model.projector, model.file_bytes) == (digest(MODEL), digest(b"clip"), len(MODEL))


BAD_MANIFESTS = [
    ("{", "not an Ollama manifest"),
    ("[]", "not an Ollama manifest"),
    ('{"layers": [{}]}', "not an Ollama manifest"),
    ('{"layers": []}', "holds no GGUF model"),
    (
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "../../etc"}]}',
        "not sha256",
    ),
]


@pytest.mark.parametrize(("text", "message"), BAD_MANIFESTS)
def test_a_damaged_manifest_is_named(monkeypatch, tmp_path, text, message):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    path = install(tmp_path, MODEL)
    path.write_text(text)
    with pytest.raises(BadModelError, match=message) as e:
        open_model("ollama://llama3.1:8b")
    assert str(path) in e.value.message


def test_a_missing_blob_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    install(tmp_path, MODEL)
    next((tmp_path / "blobs").iterdir()).unlink()
    with pytest.raises(MissingFileError, match="no such file"):
        open_model("ollama://llama3.1:8b")


class Registry(Handler):
    """The two calls of a pull."""

    def do_GET(self):  # noqa: N802
        self.served.requests.append((self.command, self.path, self.headers.get("Range")))
        self.served.headers.append({k.lower(): v for k, v in self.headers.items()})
        if self.path == "/v2/library/big/manifests/latest":
            return self.fail(200, body=json.dumps(manifest(BIG)).encode())
        if self.path == f"/v2/library/big/blobs/{digest(BIG)}":
            return self.fail(307, ("Location", "/storage"))
        if self.path == "/storage":
            return self.answer(BIG)
        return self.fail(404, body=b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')


@pytest.fixture
def registry(monkeypatch, tmp_path):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "empty"))
    with serve(Registry) as served:
        yield served


def spec(served, name="big"):
    return f"ollama://{served.url.removeprefix('http://')}/library/{name}"


def test_a_model_that_was_not_pulled_is_read_from_the_registry(registry):
    header, source = open_model(spec(registry))
    assert header == parse_header(BIG)
    assert source.file_bytes == len(BIG)
    assert "manifest.v2+json" in registry.headers[0]["accept"]
    assert len(registry.requests) <= 5


def test_a_second_call_makes_no_request(registry):
    first = open_model(spec(registry))
    registry.requests.clear()
    assert open_model(spec(registry)) == first
    assert registry.requests == []


def test_an_unknown_model(registry):
    with pytest.raises(MissingFileError, match="no such model here or in the registry"):
        open_model(spec(registry, "nothing"))


def test_a_dead_registry(monkeypatch, tmp_path):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with unanswered() as address, pytest.raises(NetworkError, match="no connection"):
        open_model(f"ollama://{address}/library/x")
