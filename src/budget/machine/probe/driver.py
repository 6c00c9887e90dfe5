"""Whether an NVIDIA driver is here at all: a few files, nothing loaded, nothing started."""

from __future__ import annotations

import sys
from pathlib import Path

LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1")
_DRIVER_FILES = (
    "dev/nvidiactl", "proc/driver/nvidia", "dev/dxg", "dev/nvgpu", "dev/nvhost-gpu", "dev/nvmap",
    "usr/lib/wsl/lib/libcuda.so.1", "usr/local/nvidia/lib64/libcuda.so.1",
    "run/opengl-driver/lib/libcuda.so.1",
)  # fmt: skip


def has_driver(root: Path = Path("/"), *, platform: str = sys.platform) -> bool:
    """Whether asking an NVIDIA driver can make sense; cheap, and loads nothing."""
    if platform == "win32":
        import os

        system = root / os.environ.get("SYSTEMROOT", "Windows") / "System32"
        return any((system / name).exists() for name in ("nvml.dll", "nvcuda.dll"))
    if not platform.startswith("linux"):
        return False
    if any((root / name).exists() for name in _DRIVER_FILES):
        return True
    try:
        cache = (root / "etc/ld.so.cache").read_bytes()
    except OSError:
        return False
    return any(name.encode() in cache for name in LIBRARIES)
