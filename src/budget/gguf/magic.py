"""What a file is when it is not a GGUF file for this machine: a sentence and a hint."""

from __future__ import annotations

from budget.errors import BadModelError

_CONVERT = "convert the model with llama.cpp's convert_hf_to_gguf.py, or download a .gguf version"
_OLD = "it predates GGUF (August 2023): download a .gguf version of the model"

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a zip archive or a PyTorch checkpoint", _CONVERT),
    (b"\x80\x02", "a Python pickle (a PyTorch checkpoint)", _CONVERT),
    (b"\x80\x04", "a Python pickle (a PyTorch checkpoint)", _CONVERT),
    (b"\x1f\x8b", "gzip data", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "unpack it first"),
    (b"\xfd7zXZ", "xz data", "unpack it first"),
    (b"BZh", "bzip2 data", "unpack it first"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it first"),
    (b"\x89HDF", "an HDF5 file", "convert the model to GGUF"),
    (b"\x7fELF", "a program, not a model", "pass the .gguf file; a llamafile holds one inside"),
    (b"MZ", "a program, not a model", "pass the .gguf file; a llamafile holds one inside"),
    (b"lmgg", "an old ggml file", _OLD),
    (b"fmgg", "an old ggmf file", _OLD),
    (b"tjgg", "an old ggjt file", _OLD),
    (b"algg", "an old ggla file (a LoRA adapter)", "it predates GGUF: convert the adapter again"),
    (b"FUGG", "a GGUF file with its magic byte-swapped", "convert the model again on this machine"),
    (b"version https://git-lfs", "a Git LFS pointer, not the model", "run 'git lfs pull'"),
)  # fmt: skip
"""First bytes, what they mean, what to do. Sources: the formats' own magic numbers; the ggml ones are
0x67676d6c, 0x67676d66, 0x67676a74 and 0x67676c61 in little-endian order (llama.cpp before GGUF)."""


def not_gguf(start: bytes) -> BadModelError:
    """The error for a file that starts with `start` (the first 64 bytes are enough)."""
    for magic, what, hint in _STARTS:
        if start.startswith(magic):
            return BadModelError(f"not a GGUF file: it is {what}", hint=hint)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return BadModelError(
            "not a GGUF file: it is an HTML page",
            hint="a web page was saved instead of the model: use the download link, or log in first",
        )
    if len(start) > 8 and start[8:9] == b"{":
        return BadModelError(
            "not a GGUF file: it is a safetensors file",
            hint=_CONVERT,
        )
    if text.startswith((b"{", b"[")):
        return BadModelError("not a GGUF file: it is JSON", hint="pass the .gguf file beside it")
    if not start.strip(b"\0"):
        return BadModelError(
            "not a GGUF file: it starts with zeros", hint="the download did not finish: download it again"
        )
    return BadModelError(
        f"not a GGUF file: it starts with {bytes(start[:4])!r}, not b'GGUF'", hint="pass a .gguf file"
    )


def bad_version(version: int) -> BadModelError:
    """The error for a GGUF version other than 2 and 3.

    Source: gguf.cpp, `gguf_init_from_reader`: 0, 1 and above 3 are refused; low half zero means byte-swapped.
    """
    if version and version & 0xFFFF == 0:
        return BadModelError(
            f"the file has the other byte order (its version reads as {version:#x})",
            hint="it was made for a big-endian machine: convert it with gguf-py's gguf-convert-endian",
        )
    if version == 1:
        return BadModelError(
            "GGUF version 1, which llama.cpp no longer reads",
            hint="it dates from August 2023: download the model again, or convert it again",
        )
    if version == 0:
        return BadModelError("GGUF version 0 does not exist", hint="the file is damaged: download it again")
    return BadModelError(
        f"GGUF version {version}, and only 2 and 3 are known",
        hint="a newer budget may read it; if not, the file is damaged",
    )
