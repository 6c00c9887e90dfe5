"""The stores of other programs, as they lie on disk."""

from __future__ import annotations

import hashlib
import json

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def store(folder, files, revision="main"):
    """Put files into the Hugging Face cache, as links to blobs."""
    base = folder / "models--user--Model-GGUF"
    (base / "refs").mkdir(parents=True)
    (base / "refs" / revision).write_text(COMMIT)
    (base / "blobs").mkdir()
    for i, (name, content) in enumerate(files.items()):
        path = base / "snapshots" / COMMIT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (base / "blobs" / f"{i}").write_bytes(content)
        path.symlink_to(base / "blobs" / f"{i}")


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def manifest(content, projector=None):
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": digest(b"MIT"), "size": 3},
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest(content), "size": len(content)},
    ]
    if projector is not None:
        kind = "application/vnd.ollama.image.projector"
        layers.append({"mediaType": kind, "digest": digest(projector), "size": len(projector)})
    return {"schemaVersion": 2, "config": {"digest": digest(b"{}")}, "layers": layers}


def install(store, content, name="llama3.1", tag="8b", host="registry.ollama.ai", space="library"):
    path = store / "manifests" / host / space / name / tag
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(manifest(content)))
    blob = store / "blobs" / digest(content).replace(":", "-")
    blob.parent.mkdir(exist_ok=True)
    blob.write_bytes(content)
    return path
