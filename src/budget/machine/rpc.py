"""llama.cpp's RPC servers: asked live for their memory, or worked out from hosts of an inventory.

Source: llama.cpp, ggml/include/ggml-rpc.h (protocol version) and ggml-rpc.cpp: a request is one byte of
command, eight bytes of length (little-endian) and the payload; an answer is eight bytes of length and the
payload. There is no authentication.
"""

from __future__ import annotations

import ipaddress
import struct
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from budget.errors import NetworkError, UsageError
from budget.machine.device import Device, Machine

PROTOCOL = (7, 0, 0)
"""RPC_PROTO_MAJOR_VERSION and so on. A client refuses another major version, and a newer minor one."""
MAX_SERVERS = 16
"""GGML_RPC_MAX_SERVERS."""
DEFAULT_PORT = 50052
"""ggml-rpc-server's own."""
TIMEOUT_S = 5.0
"""Seconds that one server may take for all its answers; each is a few bytes from memory."""
MAX_DEVICES = 64
"""Devices of one server believed; a host has 16 at most."""

_GET_ALIGNMENT, _GET_MAX_SIZE, _GET_DEVICE_MEMORY, _HELLO, _DEVICE_COUNT = 1, 2, 11, 14, 15
_HELLO_REQUEST = bytes(24)
_HELLO_ANSWER_BYTES = 28
_OLD_HELLO_ANSWER_BYTES = 3
"""Before protocol 4 the answer was the version alone."""
_NO_LIMIT_BYTES = 1 << 62
"""A backend without a largest buffer answers SIZE_MAX."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcMemory:
    """What a server says of one of its devices."""

    total_bytes: int
    free_bytes: int
    """After the server's own context: it makes its backends before it listens."""
    alignment_bytes: int
    max_buffer_bytes: int | None


def parse_endpoint(text: str) -> tuple[str, int]:
    """(host, port) of `host:port`.

    Raises:
        UsageError: something else; llama.cpp takes no IPv6 literal here and has no default port.
    """
    host, colon, port = text.strip().partition(":")
    if not host or not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--rpc: {text!r} is no HOST:PORT", hint=f"such as 192.168.1.10:{DEFAULT_PORT}")
    return host, int(port)


def probe_rpc(
    endpoints: Sequence[str], *, timeout_s: float = TIMEOUT_S
) -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """The devices of every server, numbered across them as llama.cpp does, and what is worth saying.

    All servers are asked at the same time.

    Raises:
        UsageError: an endpoint that is no host:port, one named twice, or more than 16.
        NetworkError: a server that cannot be reached, is too slow, or speaks another protocol.
    """
    from concurrent.futures import ThreadPoolExecutor

    check_endpoints(endpoints)
    if not endpoints:
        return (), ()
    with ThreadPoolExecutor(len(endpoints)) as pool:
        answers = list(pool.map(lambda endpoint: ask_server(endpoint, timeout_s=timeout_s), endpoints))
    rows = [
        (endpoint, memory) for endpoint, found in zip(endpoints, answers, strict=True) for memory in found
    ]
    devices = tuple(_device(number, endpoint, memory) for number, (endpoint, memory) in enumerate(rows))
    return devices, (*_trust_notes(endpoints), *_full_notes(devices))


def check_endpoints(endpoints: Sequence[str]) -> None:
    """UsageError where the list cannot be llama.cpp's `--rpc`."""
    if len(endpoints) > MAX_SERVERS:
        raise UsageError(f"--rpc: {len(endpoints)} servers, llama.cpp takes at most {MAX_SERVERS}")
    for endpoint in endpoints:
        parse_endpoint(endpoint)
        if list(endpoints).count(endpoint) > 1:
            raise UsageError(f"--rpc: {endpoint} is named twice", hint="each server lists all of its devices")


def ask_server(endpoint: str, *, timeout_s: float = TIMEOUT_S) -> tuple[RpcMemory, ...]:
    """Memory of every device of the server at `endpoint`; NetworkError as `probe_rpc`."""
    import socket

    host, port = parse_endpoint(endpoint)
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            wire = _Wire(connection, endpoint, deadline)
            wire.hello()
            return tuple(wire.memory(number) for number in range(wire.device_count()))
    except TimeoutError as error:
        raise NetworkError(
            f"RPC server {endpoint} did not answer within {timeout_s:g} s",
            hint="it serves one client at a time: is it busy with another?",
        ) from error
    except OSError as error:
        raise NetworkError(
            f"RPC server {endpoint} cannot be reached: {error.strerror or error}",
            hint="is ggml-rpc-server running there? By default it listens on 127.0.0.1 only (-H)",
        ) from error


class _Wire:
    """One connection, every answer of it before one deadline."""

    def __init__(self, connection: Any, endpoint: str, deadline: float) -> None:
        self._connection = connection
        self._endpoint = endpoint
        self._deadline = deadline

    def hello(self) -> None:
        """Exchange versions; NetworkError where llama.cpp would refuse the server."""
        self._send(_HELLO, _HELLO_REQUEST)
        size = self._size()
        if size not in (_HELLO_ANSWER_BYTES, _OLD_HELLO_ANSWER_BYTES):
            raise NetworkError(
                f"{self._endpoint} does not speak ggml's RPC protocol",
                hint="is it the port of ggml-rpc-server?",
            )
        major, minor, patch = self._receive(size)[:3]
        if major != PROTOCOL[0] or minor > PROTOCOL[1]:
            raise NetworkError(
                f"RPC server {self._endpoint} speaks protocol {major}.{minor}.{patch}, "
                f"the llama.cpp that budget follows speaks {'.'.join(map(str, PROTOCOL))}",
                hint="run the same llama.cpp on both sides, or list its devices with "
                "--probe-with 'llama-server' and its own --rpc",
            )

    def device_count(self) -> int:
        count = int(struct.unpack("<I", self._ask(_DEVICE_COUNT, b"", 4))[0])
        if not 0 < count <= MAX_DEVICES:
            raise NetworkError(f"RPC server {self._endpoint} says that it has {count} devices")
        return count

    def memory(self, number: int) -> RpcMemory:
        payload = struct.pack("<I", number)
        free, total = struct.unpack("<QQ", self._ask(_GET_DEVICE_MEMORY, payload, 16))
        (alignment,) = struct.unpack("<Q", self._ask(_GET_ALIGNMENT, payload, 8))
        (max_size,) = struct.unpack("<Q", self._ask(_GET_MAX_SIZE, payload, 8))
        if free > total or not 0 < alignment <= 1 << 20:
            raise NetworkError(
                f"RPC server {self._endpoint} answers nonsense for device {number}: "
                f"{free} of {total} bytes free, alignment {alignment}"
            )
        return RpcMemory(
            total_bytes=total,
            free_bytes=free,
            alignment_bytes=alignment,
            max_buffer_bytes=max_size if max_size < _NO_LIMIT_BYTES else None,
        )

    def _ask(self, command: int, payload: bytes, n_bytes: int) -> bytes:
        self._send(command, payload)
        size = self._size()
        if size != n_bytes:
            raise NetworkError(
                f"RPC server {self._endpoint} answers command {command} with {size} bytes, not {n_bytes}",
                hint="run the same llama.cpp on both sides",
            )
        return self._receive(n_bytes)

    def _send(self, command: int, payload: bytes) -> None:
        self._connection.settimeout(self._left())
        self._connection.sendall(struct.pack("<BQ", command, len(payload)) + payload)

    def _size(self) -> int:
        return int(struct.unpack("<Q", self._receive(8))[0])

    def _receive(self, n_bytes: int) -> bytes:
        parts = b""
        while len(parts) < n_bytes:
            self._connection.settimeout(self._left())
            part = self._connection.recv(n_bytes - len(parts))
            if not part:
                raise NetworkError(
                    f"RPC server {self._endpoint} closed the connection",
                    hint="does it speak ggml's RPC protocol, of the same version?",
                )
            parts += part
        return parts

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _device(number: int, endpoint: str, memory: RpcMemory) -> Device:
    known = memory.total_bytes > 0  # 0 of 0 is how a backend says that it does not know
    return Device(
        name=f"RPC{number}[{endpoint}]",
        backend="rpc",
        description=endpoint,
        total_bytes=memory.total_bytes if known else None,
        free_bytes=memory.free_bytes if known else None,
        alignment_bytes=memory.alignment_bytes,
        max_buffer_bytes=memory.max_buffer_bytes,
        context_in_use=True,
        sources=dict.fromkeys(("total_bytes", "free_bytes", "alignment_bytes"), f"RPC server {endpoint}"),
    )


def _trust_notes(endpoints: Iterable[str]) -> list[str]:
    """RPC has no authentication: anyone who reaches the port can read and write the server's memory."""
    outside = [endpoint for endpoint in endpoints if not _is_loopback(parse_endpoint(endpoint)[0])]
    if not outside:
        return []
    return [f"RPC has no authentication and no encryption: keep {', '.join(outside)} in a network you trust"]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _full_notes(devices: Sequence[Device]) -> list[str]:
    """A processor (and Metal) reports all of its memory as free, whatever runs there."""
    return [
        f"{device.name} reports all of its {'memory' if device.total_bytes else 'unknown memory'} as free, as a "
        f"processor does: cap it with --budget {device.name.partition('[')[0]}=SIZE"
        for device in devices
        if device.total_bytes is not None and device.free_bytes == device.total_bytes
    ]


def rpc_devices_of(hosts: Sequence[tuple[str, Machine]], *, port: int = DEFAULT_PORT) -> tuple[Device, ...]:
    """The devices that a ggml-rpc-server on each host (name, machine) would serve.

    A server exposes every accelerator, or the processor where there is none; a processor reports all of
    its RAM as free. Each keeps its own driver context (`remote_backend` says whose).
    """
    rows: list[tuple[str, Device]] = []
    for name, machine in hosts:
        own = [device for device in machine.devices if device.kind != "cpu" and device.backend != "rpc"]
        rows += [(name, device) for device in own] or [(name, _processor(machine))]
    return tuple(_remote(number, f"{name}:{port}", device) for number, (name, device) in enumerate(rows))


def _processor(machine: Machine) -> Device:
    ram_bytes = machine.host.ram_total_bytes
    return Device(
        name="CPU", kind="cpu", backend="cpu", total_bytes=ram_bytes, free_bytes=ram_bytes, alignment_bytes=32
    )  # TENSOR_ALIGNMENT, ggml-cpu


def _remote(number: int, endpoint: str, device: Device) -> Device:
    return Device(
        name=f"RPC{number}[{endpoint}]",
        backend="rpc",
        description=f"{endpoint} {device.name}: {device.description}".rstrip(": "),
        compute_capability=device.compute_capability,
        total_bytes=device.total_bytes,
        free_bytes=device.free_bytes,
        alignment_bytes=device.alignment_bytes,
        max_buffer_bytes=device.max_buffer_bytes,
        remote_backend=device.backend,
        bandwidth_bytes_per_second=device.bandwidth_bytes_per_second,
        context_in_use=device.context_in_use,
        sources=dict.fromkeys(("total_bytes", "free_bytes"), f"inventory, {endpoint}"),
        problem=device.problem,
    )


def server_command(host: str, machine: Machine, *, port: int = DEFAULT_PORT) -> str:
    """The line that starts the RPC server on `host`, bound to its own address."""
    names = [device.name for device in machine.devices if device.kind != "cpu" and device.backend != "rpc"]
    chosen = f" -d {','.join(names)}" if names else ""
    return f"ggml-rpc-server -H {host} -p {port}{chosen} -c"
