"""RPC servers: a fake one on loopback that speaks ggml's protocol, and ones that do not."""

import pytest

from budget.errors import NetworkError, UsageError
from budget.machine.device import Device, Host, Machine
from budget.machine.rpc import parse_endpoint, probe_rpc, rpc_devices_of, server_command
from machine.fakes import GiB, rpc_server
from ports import unanswered

GPU_HOST = Machine(
    host=Host(ram_total_bytes=64 * GiB),
    devices=(
        Device(name="CUDA0", description="A", total_bytes=24 * GiB, free_bytes=23 * GiB),
        Device(name="CUDA1", description="B", total_bytes=8 * GiB, free_bytes=7 * GiB),
    ),
)
CPU_HOST = Machine(host=Host(ram_total_bytes=16 * GiB, ram_available_bytes=10 * GiB))


def test_devices_are_numbered_across_servers():
    with (
        rpc_server(memories=[(20 * GiB, 24 * GiB), (7 * GiB, 8 * GiB)]) as one,
        rpc_server(memories=[(GiB, 2 * GiB)], alignment=32, max_size=GiB) as two,
    ):
        devices, notes = probe_rpc([one, two])
    assert [device.name for device in devices] == [f"RPC0[{one}]", f"RPC1[{one}]", f"RPC2[{two}]"]
    assert [(device.free_bytes, device.total_bytes) for device in devices] == [
        (20 * GiB, 24 * GiB),
        (7 * GiB, 8 * GiB),
        (GiB, 2 * GiB),
    ]
    assert [device.alignment_bytes for device in devices] == [128, 128, 32]
    assert [device.max_buffer_bytes for device in devices] == [None, None, GiB]
    assert all(device.backend == "rpc" and device.context_in_use for device in devices)
    assert notes == ()


def test_a_server_that_calls_everything_free_is_a_note():
    with rpc_server(memories=[(8 * GiB, 8 * GiB)]) as endpoint:
        _, notes = probe_rpc([endpoint])
    assert "reports all of its memory as free" in notes[0]


def test_0_of_0_is_unknown():
    with rpc_server(memories=[(0, 0)]) as endpoint:
        (device,), _ = probe_rpc([endpoint])
    assert (device.total_bytes, device.free_bytes) == (None, None)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        pytest.param({"hello": bytes([6, 1, 0, 0]) + bytes(24)}, "protocol 6.1.0", id="older-major"),
        pytest.param({"hello": bytes([7, 1, 0, 0]) + bytes(24)}, "protocol 7.1.0", id="newer-minor"),
        pytest.param({"hello": bytes([3, 6, 0])}, "protocol 3.6.0", id="old-short-hello"),
        pytest.param({"hello": b"hello"}, "does not speak ggml's RPC protocol", id="other-size"),
        pytest.param({"greeting": b"HTTP/1.1 400 Bad Request\r\n"}, "does not speak", id="an-http-server"),
        pytest.param({"memories": []}, "has 0 devices", id="no-devices"),
        pytest.param({"memories": [(2, 1)]}, "nonsense", id="free-over-total"),
        pytest.param({"memories": [(1, 1)], "alignment": 0}, "nonsense", id="alignment-0"),
    ],
)
def test_a_server_of_another_protocol_is_named(kwargs, words):
    with rpc_server(**{"memories": [(1, 2)]} | kwargs) as endpoint, pytest.raises(NetworkError) as error:
        probe_rpc([endpoint])
    assert words in error.value.message
    assert endpoint in error.value.message
    assert error.value.exit_code == 6


def test_a_newer_patch_is_accepted():
    with rpc_server(memories=[(1, 2)], hello=bytes([7, 0, 9, 0]) + bytes(24)) as endpoint:
        assert len(probe_rpc([endpoint])[0]) == 1


def test_a_slow_server_ends_in_its_time_limit():
    with rpc_server(memories=[(1, 2)], silent=True) as endpoint, pytest.raises(NetworkError) as error:
        probe_rpc([endpoint], timeout_s=0.2)
    assert "did not answer within 0.2 s" in error.value.message
    assert "one client at a time" in error.value.hint


def test_a_dead_server_is_said_so():
    with unanswered() as address, pytest.raises(NetworkError, match="cannot be reached"):
        probe_rpc([address])


def test_one_dead_server_is_not_hidden_by_a_good_one():
    with (
        unanswered() as address,
        rpc_server(memories=[(1, 2)]) as good,
        pytest.raises(NetworkError, match=address),
    ):
        probe_rpc([good, address])


def test_no_servers_are_no_devices():
    assert probe_rpc([]) == ((), ())


@pytest.mark.parametrize("text", ["host", "host:", ":5", "host:0", "host:65536", "host:x", "[::1]:5", ""])
def test_what_is_no_endpoint(text):
    with pytest.raises(UsageError, match="no HOST:PORT"):
        parse_endpoint(text)


def test_too_many_servers_and_twins_are_refused():
    with pytest.raises(UsageError, match="at most 16"):
        probe_rpc([f"h{i}:1" for i in range(17)])
    with pytest.raises(UsageError, match="named twice"):
        probe_rpc(["h:1", "h:1"])


def test_servers_of_an_inventory_serve_every_card_or_the_processor():
    devices = rpc_devices_of([("a", GPU_HOST), ("b", CPU_HOST)])
    assert [device.name for device in devices] == ["RPC0[a:50052]", "RPC1[a:50052]", "RPC2[b:50052]"]
    assert [device.remote_backend for device in devices] == ["cuda", "cuda", "cpu"]
    assert [device.free_bytes for device in devices] == [23 * GiB, 7 * GiB, 16 * GiB]
    assert devices[2].alignment_bytes == 32


def test_the_lines_that_start_it():
    assert server_command("a", GPU_HOST) == "ggml-rpc-server -H a -p 50052 -d CUDA0,CUDA1 -c"
    assert server_command("b", CPU_HOST, port=5) == "ggml-rpc-server -H b -p 5 -c"
