"""Load one model with a real llama.cpp and print what it allocated: `load.py LIBRARY MODEL [NAME=VALUE...]`.

Names are `n_ctx n_ubatch n_seq_max n_rs_seq` of the context, `mtp=1` for a second context of that type over blocks
loaded for it, and `lora=FILE`; adapters are read off llama.cpp's log, which rounds to a hundredth of a MiB. With
`mmproj=1` the model is a projector, and the answer is the sum of its weights and its first compute buffer.

Runs in a process of its own, since llama.cpp aborts where it is not happy. The library is called through its C
interface; parameter structures are opaque, but for the first numbers, which are checked against llama.cpp's defaults.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Iterator

VOCAB_ONLY = 72
"""Offset of `vocab_only` in the model's parameters, bytes; `load_mtp` is the fifth flag behind it."""
CONTEXT_TYPE = 9
"""Place of `ctx_type` in the context's parameters, in words of 32 bits."""
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
    llama.llama_adapter_lora_init.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    llama.llama_adapter_lora_init.restype = ctypes.c_void_p
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


def check_parameters(llama: ctypes.CDLL) -> tuple[Params, Params]:
    """Default parameters of a model and a context, at the places this script knows."""
    of_model, of_context = llama.llama_model_default_params(), llama.llama_context_default_params()
    if list(of_context.words[:7]) != [512, 2048, 512, 1, 0, 0, 1]:
        sys.exit(
            f"the context parameters begin with {list(of_context.words[:7])}, not as this script knows them"
        )
    if bytes(of_model)[VOCAB_ONLY : VOCAB_ONLY + 6] != b"\0\0\1\0\0\0":
        sys.exit("the model parameters are not laid out as this script knows them")
    return of_model, of_context


def breakdown(llama: ctypes.CDLL, context: int) -> dict[str, list[int]]:
    """Weights, context and compute of every buffer type of `context`, bytes."""
    found = llama._Z26llama_get_memory_breakdownPK13llama_context(context)
    return {
        llama.ggml_backend_buft_name(node.buffer_type).decode(): list(node.sizes)
        for node in nodes(found.root)
    }


def projector_bytes(llama: ctypes.CDLL, path: str) -> int:
    """What llama.cpp itself measures for a projector on the CPU: weights without padding, and compute at load."""
    usage = getattr(llama, "_Z21mtmd_get_memory_usagePKc19mtmd_context_params", None)
    if usage is None:
        sys.exit("this llama.cpp has no projectors")
    usage.argtypes, usage.restype = [ctypes.c_char_p, Params], Map
    llama.mtmd_context_params_default.restype = Params
    found = usage(path.encode(), llama.mtmd_context_params_default())
    if not found.root:
        sys.exit("llama.cpp refuses the projector")
    return int(found.root.contents.sizes[0])


def make_context(llama: ctypes.CDLL, model: int, params: Params) -> int:
    """A context, or the end of the process."""
    context: int | None = llama.llama_init_from_model(model, params)
    if not context:
        sys.exit("llama.cpp refuses the context")
    return context


def main(path: str, model: str, *options: str) -> None:
    """Load, make a context, print its breakdown as JSON."""
    given = dict(option.split("=", 1) for option in options)
    llama = library(path)
    llama.llama_backend_init()
    if "mmproj" in given:
        json.dump({"buffers": {}, "features": [], "mmproj": projector_bytes(llama, model)}, sys.stdout)
        sys.stdout.flush()
        os._exit(0)
    of_model, params = check_parameters(llama)
    for place, name in ((0, "n_ctx"), (2, "n_ubatch"), (3, "n_seq_max"), (4, "n_rs_seq")):
        params.words[place] = int(given.get(name, params.words[place]))
    if "mtp" in given:
        ctypes.memset(ctypes.addressof(of_model) + VOCAB_ONLY + 5, 1, 1)
    loaded = llama.llama_model_load_from_file(model.encode(), of_model)
    if not loaded:
        sys.exit("llama.cpp refuses the model")
    answer = {
        "buffers": breakdown(llama, make_context(llama, loaded, params)),
        "features": features(llama.llama_print_system_info().decode()),
    }
    if "mtp" in given:
        params.words[CONTEXT_TYPE], params.words[4] = 1, 0
        answer["mtp"] = breakdown(llama, make_context(llama, loaded, params))
    if "lora" in given and not llama.llama_adapter_lora_init(loaded, given["lora"].encode()):
        sys.exit("llama.cpp refuses the adapter")
    json.dump(answer, sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # nothing to tear down


if __name__ == "__main__":
    main(*sys.argv[1:])
