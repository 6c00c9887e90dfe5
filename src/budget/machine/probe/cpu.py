"""Processor features that change which buffers llama.cpp puts weights in, in llama.cpp's words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from budget.machine.probe.files import read_int, read_text

_FROM_FLAG = {
    # x86: the kernel's name -> ggml's (ggml/src/ggml-cpu, `ggml_cpu_has_*`)
    "ssse3": "ssse3", "avx": "avx", "avx2": "avx2", "bmi2": "bmi2", "fma": "fma", "f16c": "f16c",
    "avx_vnni": "avx_vnni", "avx512f": "avx512f", "avx512_vbmi": "avx512_vbmi",
    "avx512vbmi": "avx512_vbmi", "avx512_vnni": "avx512_vnni", "avx512_bf16": "avx512_bf16",
    "amx_int8": "amx_int8",
    # arm64: Documentation/arch/arm64/elf_hwcaps.rst
    "asimd": "neon", "neon": "neon", "asimddp": "dotprod", "i8mm": "i8mm", "sve": "sve", "sme": "sme",
    "asimdhp": "fp16_va",
    # s390x
    "vxe": "vxe",
}  # fmt: skip

_FROM_SYSCTL = {
    "hw.optional.AdvSIMD": "neon",
    "hw.optional.arm.AdvSIMD": "neon",
    "hw.optional.neon": "neon",
    "hw.optional.arm.FEAT_DotProd": "dotprod",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.arm.FEAT_SME": "sme",
    "hw.optional.arm.FEAT_FP16": "fp16_va",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.fma": "fma",
    "hw.optional.f16c": "f16c",
    "hw.optional.avx512f": "avx512f",
}
"""macOS: `sysctl` names that are 1 where the processor has the feature (Apple, "Determining instruction set
characteristics")."""

_FROM_WINDOWS = {19: "neon", 43: "dotprod", 40: "avx2", 41: "avx512f", 39: "avx", 36: "ssse3"}
"""`IsProcessorFeaturePresent` numbers (winnt.h, PF_*)."""

SVE_BYTES_FOR_REPACK = 32
"""ggml repacks for SVE only where a vector is QK8_0 = 32 bytes long."""


def cpu_features(root: Path = Path("/"), *, platform: str = sys.platform) -> tuple[str, ...]:
    """Features of this processor, sorted; empty where they cannot be read."""
    if platform == "darwin":
        from budget.machine.probe.apple import sysctl_int

        return features_from_sysctl(sysctl_int)
    if platform == "win32":
        from budget.machine.probe.windows import processor_feature

        return tuple(sorted(name for number, name in _FROM_WINDOWS.items() if processor_feature(number)))
    return _from_cpuinfo(root)


def features_from_sysctl(sysctl: Callable[[str], int | None]) -> tuple[str, ...]:
    """Features by asking `sysctl` for each name it may be known under."""
    return tuple(sorted({name for key, name in _FROM_SYSCTL.items() if sysctl(key) == 1}))


def _from_cpuinfo(root: Path) -> tuple[str, ...]:
    flags: set[str] = set()
    for line in (read_text(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() in {"flags", "features"}:
            flags = set(value.split())
            break
        if key.strip() == "isa":  # RISC-V: rv64imafdcv_zicsr...
            base = value.strip().partition("_")[0]
            return ("rvv",) if "v" in base[2:].lstrip("0123456789") else ()
    names = {_FROM_FLAG[flag] for flag in flags if flag in _FROM_FLAG}
    if "sve" in names and read_int(root / "proc/sys/abi/sve_default_vector_length") == SVE_BYTES_FOR_REPACK:
        names.add("sve_256")
    return tuple(sorted(names))
