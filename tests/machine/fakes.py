"""Stand-ins for the outside world: NVML, libcuda, an RPC server, and trees of /proc and /sys."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

GiB = 1 << 30
MiB = 1 << 20

NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, GPU_IS_LOST = 3, 4, 13, 15


def write_tree(root: Path, files: dict[str, str | int]) -> Path:
    """`root` with the files of a table of paths and texts."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


class NVMLError(Exception):
    """Like pynvml's: a code in `value`."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


@dataclass(kw_only=True)
class FakeGpu:
    """What one fake card answers; an int where a number is expected can be an NVMLError code in `errors`."""

    name: str | bytes = "NVIDIA H200"
    uuid: str = "GPU-11111111-2222-3333-4444-555555555555"
    bus_id: str | bytes = "00000000:01:00.0"
    capability: tuple[int, int] = (9, 0)
    total: int = 0
    reserved: int = 0
    free: int = 0
    mig: list[FakeGpu] | None = None
    ats: bool = False
    vgpu: bool = False
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


class FakeNvml:
    """As much of the module pynvml as budget uses; a GPU can also be an int: the error of opening it."""

    NVMLError = NVMLError
    nvmlMemory_v2 = 0x02000028  # noqa: N815

    def __init__(self, *gpus: FakeGpu | int, init_error: int | None = None, has_v2: bool = True) -> None:
        self.gpus = gpus
        self.init_error = init_error
        self.has_v2 = has_v2
        self.is_running = False

    def nvmlInit(self) -> None:  # noqa: N802
        if self.init_error is not None:
            raise NVMLError(self.init_error)
        self.is_running = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_running = False

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        return b"580.159.04"

    def nvmlSystemGetCudaDriverVersion_v2(self) -> int:  # noqa: N802
        return 13000

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:  # noqa: N802
        gpu = self.gpus[index]
        if isinstance(gpu, int):
            raise NVMLError(gpu)
        return gpu

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str | bytes:  # noqa: N802
        return self._value(gpu, "name", gpu.name)

    def nvmlDeviceGetUUID(self, gpu: FakeGpu) -> str:  # noqa: N802
        return self._value(gpu, "uuid", gpu.uuid)

    def nvmlDeviceGetPciInfo(self, gpu: FakeGpu) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(busId=gpu.bus_id)

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> tuple[int, int]:  # noqa: N802
        return gpu.capability

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu, version: int | None = None) -> SimpleNamespace:  # noqa: N802
        if version is not None and not self.has_v2:
            raise NVMLError(FUNCTION_NOT_FOUND)
        self._value(gpu, "memory", None)
        if version is None:
            return SimpleNamespace(total=gpu.total, free=gpu.free)
        return SimpleNamespace(total=gpu.total, free=gpu.free, reserved=gpu.reserved)

    def nvmlDeviceGetMemoryBusWidth(self, gpu: FakeGpu) -> int:  # noqa: N802
        return 6144

    def nvmlDeviceGetMaxClockInfo(self, gpu: FakeGpu, clock: int) -> int:  # noqa: N802
        return 3201

    def nvmlDeviceGetAddressingMode(self, gpu: FakeGpu) -> int:  # noqa: N802
        return 2 if gpu.ats else 0

    def nvmlDeviceGetVirtualizationMode(self, gpu: FakeGpu) -> int:  # noqa: N802
        return 2 if gpu.vgpu else 0

    def nvmlDeviceGetMigMode(self, gpu: FakeGpu) -> list[int]:  # noqa: N802
        if gpu.mig is None:
            raise NVMLError(NOT_SUPPORTED)
        return [1, 1]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: FakeGpu) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: FakeGpu, slot: int) -> FakeGpu:  # noqa: N802
        if gpu.mig is None or slot >= len(gpu.mig):
            raise NVMLError(6)
        return gpu.mig[slot]

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: FakeGpu) -> list[SimpleNamespace]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in gpu.processes]

    def nvmlDeviceGetGraphicsRunningProcesses(self, gpu: FakeGpu) -> list[SimpleNamespace]:  # noqa: N802
        raise NVMLError(FUNCTION_NOT_FOUND)

    @staticmethod
    def _value(gpu: FakeGpu, name: str, value):
        if name in gpu.errors:
            raise NVMLError(gpu.errors[name])
        return value


@dataclass(kw_only=True)
class FakeCudaDevice:
    uuid: str
    name: str = "NVIDIA GPU"
    pci_id: str = "0000:01:00.0"
    total: int = 24 * GiB
    attributes: dict[int, int] = field(default_factory=lambda: {75: 8, 76: 9, 18: 0})


class FakeCuda:
    """As much of libcuda as budget uses, with ctypes' own out-parameters."""

    def __init__(self, *devices: FakeCudaDevice, init_code: int = 0) -> None:
        self.devices = devices
        self.init_code = init_code

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.init_code

    def cuDeviceGetCount(self, out) -> int:  # noqa: N802
        out._obj.value = len(self.devices)
        return 0

    def cuDeviceGet(self, out, index: int) -> int:  # noqa: N802
        out._obj.value = index
        return 0

    def cuDeviceTotalMem_v2(self, out, handle) -> int:  # noqa: N802
        out._obj.value = self.devices[handle.value].total
        return 0

    def cuDeviceGetAttribute(self, out, number: int, handle) -> int:  # noqa: N802
        value = self.devices[handle.value].attributes.get(number)
        if value is None:
            return 1
        out._obj.value = value
        return 0

    def cuDeviceGetUuid_v2(self, out, handle) -> int:  # noqa: N802
        out._obj[:] = list(uuid.UUID(self.devices[handle.value].uuid).bytes)
        return 0

    def cuDeviceGetName(self, text, size: int, handle) -> int:  # noqa: N802
        text.value = self.devices[handle.value].name.encode()
        return 0

    def cuDeviceGetPCIBusId(self, text, size: int, handle) -> int:  # noqa: N802
        text.value = self.devices[handle.value].pci_id.encode()
        return 0


@contextlib.contextmanager
def rpc_server(
    *,
    memories: list[tuple[int, int]] | None = None,
    hello: bytes = bytes([7, 0, 0, 0]) + bytes(24),
    alignment: int = 128,
    max_size: int = (1 << 64) - 1,
    silent: bool = False,
    greeting: bytes = b"",
) -> Iterator[str]:
    """A server on loopback that speaks ggml's RPC protocol, or part of it; yields its endpoint.

    `silent` accepts and never answers; `greeting` is sent at once, as another protocol would.
    """
    memories = memories or []

    def answer(command: int, payload: bytes) -> bytes | None:
        device = struct.unpack("<I", payload)[0] if len(payload) == 4 else 0
        if command == 14:
            return hello
        if command == 15:
            return struct.pack("<I", len(memories))
        if command == 11:
            return struct.pack("<QQ", *memories[device])
        if command == 1:
            return struct.pack("<Q", alignment)
        if command == 2:
            return struct.pack("<Q", max_size)
        return None

    def read(connection: socket.socket, n: int) -> bytes:
        data = b""
        while len(data) < n:
            part = connection.recv(n - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(greeting)
            while True:
                command, length = struct.unpack("<BQ", read(connection, 9))
                text = answer(command, read(connection, length))
                if silent:
                    continue
                if text is None:
                    return
                connection.sendall(struct.pack("<Q", len(text)) + text)

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
