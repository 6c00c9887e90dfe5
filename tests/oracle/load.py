"""Load one model with a real llama.cpp and print what it allocated: `load.py LIBRARY MODEL [N_CTX N_UBATCH N_SEQ]`.

Runs in a process of its own, since llama.cpp aborts where it is not happy. The library is called through its C
interface; parameter structures are opaque, but for the first numbers, which are checked against llama.cpp's defaults.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterator

ROOM = 1024
"""Bytes, more than any parameter structure has; a callee reads only its own part of one passed by value."""


class Params(ctypes.Structure):
    """A parameter structure of unknown length."""

    _fields_ = (("words", ctypes.c_uint32 * (ROOM // 4)),)


class Node(ctypes.Structure):
    """A node of std::map<buffer type, {model, context, compute}> (libstdc++)."""


Node._fields_ = (
    ("colour", ctypes.c_uint64),
    ("parent", ctypes.POINTER(Node)),
    ("left", ctypes.POINTER(Node)),
    ("right", ctypes.POINTER(Node)),
    ("buffer_type", ctypes.c_void_p),
    ("sizes", ctypes.c_size_t * 3),
)


class Map(ctypes.Structure):
    """std::map of libstdc++: the header's parent is the root."""

    _fields_ = (
        ("compare", ctypes.c_uint64),
        ("colour", ctypes.c_uint64),
        ("root", ctypes.POINTER(Node)),
        ("first", ctypes.c_void_p),
        ("last", ctypes.c_void_p),
        ("count", ctypes.c_size_t),
    )


def library(path: str) -> ctypes.CDLL:
    """llama.cpp with the signatures this script needs."""
    llama = ctypes.CDLL(path, mode=os.RTLD_NOW | os.RTLD_GLOBAL)
    llama.llama_model_default_params.restype = Params
    llama.llama_context_default_params.restype = Params
    llama.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
    llama.llama_model_load_from_file.restype = ctypes.c_void_p
    llama.llama_init_from_model.argtypes = [ctypes.c_void_p, Params]
    llama.llama_init_from_model.restype = ctypes.c_void_p
    llama.llama_print_system_info.restype = ctypes.c_char_p
    llama._Z26llama_get_memory_breakdownPK13llama_context.argtypes = [ctypes.c_void_p]
    llama._Z26llama_get_memory_breakdownPK13llama_context.restype = Map
    llama.ggml_backend_buft_name.argtypes = [ctypes.c_void_p]
    llama.ggml_backend_buft_name.restype = ctypes.c_char_p
    return llama


def nodes(node: ctypes._Pointer[Node]) -> Iterator[Node]:
    """Every node below and including `node`."""
    if node:
        yield from nodes(node.contents.left)
        yield node.contents
        yield from nodes(node.contents.right)


def features(system_info: str) -> list[str]:
    """Processor features the library was built for and found: `CPU : SSE3 = 1 | AVX2 = 1 | ...`."""
    pairs = (item.split("=") for item in system_info.replace(" : ", "|").split("|") if "=" in item)
    return [name.strip().lower() for name, value in pairs if value.strip() not in ("0", "")]


def main(path: str, model: str, *numbers: str) -> None:
    """Load, make a context, print its breakdown as JSON."""
    llama = library(path)
    llama.llama_backend_init()
    params = llama.llama_context_default_params()
    if list(params.words[:4]) != [512, 2048, 512, 1]:
        sys.exit(
            f"the context parameters begin with {list(params.words[:4])}, not n_ctx n_batch n_ubatch n_seq_max"
        )
    if numbers:
        n_ctx, n_ubatch, n_seq_max = map(int, numbers)
        params.words[0], params.words[2], params.words[3] = n_ctx, n_ubatch, n_seq_max
    loaded = llama.llama_model_load_from_file(model.encode(), llama.llama_model_default_params())
    if not loaded:
        sys.exit("llama.cpp refuses the model")
    context = llama.llama_init_from_model(loaded, params)
    if not context:
        sys.exit("llama.cpp refuses the context")
    breakdown = llama._Z26llama_get_memory_breakdownPK13llama_context(context)
    buffers = {
        llama.ggml_backend_buft_name(node.buffer_type).decode(): list(node.sizes)
        for node in nodes(breakdown.root)
    }
    json.dump(
        {"buffers": buffers, "features": features(llama.llama_print_system_info().decode())}, sys.stdout
    )
    sys.stdout.flush()
    os._exit(0)  # nothing to tear down


if __name__ == "__main__":
    main(*sys.argv[1:])
