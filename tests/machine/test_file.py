"""Machine files: written, read back, and refused with the field that is wrong."""

import json
import subprocess
import sys
from dataclasses import fields

import pytest

from budget.errors import MachineError
from budget.machine import file
from budget.machine.device import Device, Host, Machine
from budget.machine.file import load_machine, machine_from_json, machine_to_json

FULL = Machine(
    host=Host(ram_total_bytes=64, ram_available_bytes=48, cpu_features=("avx2", "fma"), sources={"a": "b"}),
    devices=(
        Device(
            name="CUDA0",
            description="NVIDIA H200",
            compute_capability="9.0",
            total_bytes=100,
            free_bytes=90,
            uuid="GPU-1",
            pci_id="0000:01:00.0",
            bandwidth_bytes_per_second=10**12,
            alignment_bytes=128,
            max_buffer_bytes=10,
            context_in_use=True,
            sources={"total_bytes": "NVML"},
        ),
        Device(
            name="RPC0[h:1]", backend="rpc", remote_backend="cuda", unified=True, kind="igpu", problem="lost"
        ),
    ),
    notes=("one", "two"),
)


def machine_with(device):
    return {"schema": "budget/machine/v1", "host": {}, "devices": [{"name": "CUDA0"} | device]}


def test_every_field_survives_the_round_trip():
    assert machine_from_json(json.loads(json.dumps(machine_to_json(FULL)))) == FULL


def test_every_field_of_the_data_classes_is_in_the_table():
    assert set(file._DEVICE_FIELDS) == {field.name for field in fields(Device)}
    assert set(file._HOST_FIELDS) == {field.name for field in fields(Host)}


def test_unknown_is_null_and_never_0():
    row = machine_to_json(Machine(host=Host(), devices=(Device(name="CUDA0"),)))
    assert row["host"]["ram_total_bytes"] is None
    assert row["devices"][0]["free_bytes"] is None


def test_the_documented_example_loads(tmp_path):
    path = tmp_path / "rig.json"
    path.write_text(
        '{"schema": "budget/machine/v1", "host": {"ram_total_bytes": 8, "ram_available_bytes": 4, '
        '"cpu_features": ["avx2"]}, "devices": [{"name": "CUDA0", "kind": "gpu", "backend": "cuda", '
        '"description": "NVIDIA H200", "compute_capability": "9.0", "total_bytes": 9, "free_bytes": 7}]}'
    )
    machine = load_machine(path)
    assert (machine.devices[0].free_bytes, machine.host.cpu_features) == (7, ("avx2",))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param([], "the file is []", id="no-object"),
        pytest.param({}, "schema is None", id="no-schema"),
        pytest.param({"schema": "budget/fit/v1"}, "budget/fit/v1", id="other-schema"),
        pytest.param({"schema": "budget/machine/v1", "device": []}, "'device'", id="unknown-key"),
        pytest.param({"schema": "budget/machine/v1", "host": 5}, "host is 5", id="host-no-object"),
        pytest.param({"schema": "budget/machine/v1", "devices": {}}, "devices is {}", id="devices-no-list"),
        pytest.param(machine_with({"free_byte": 1}), "'devices[0].free_byte'", id="unknown-device-key"),
        pytest.param(
            machine_with({"free_bytes": "24GiB"}), "devices[0].free_bytes is '24GiB'", id="size-as-text"
        ),
        pytest.param(machine_with({"free_bytes": 1.5}), "1.5", id="size-as-float"),
        pytest.param(machine_with({"free_bytes": True}), "True", id="size-as-bool"),
        pytest.param(machine_with({"free_bytes": -1}), "-1", id="negative"),
        pytest.param(machine_with({"total_bytes": 1 << 63}), "9223372036854775808", id="over-int64"),
        pytest.param(
            machine_with({"total_bytes": 5, "free_bytes": 6}), "more than total_bytes", id="free-over-total"
        ),
        pytest.param(machine_with({"kind": "vpu"}), "expected one of gpu", id="kind"),
        pytest.param(machine_with({"backend": "cudda"}), "'cudda'", id="backend"),
        pytest.param(machine_with({"name": ""}), "devices[0].name is missing", id="no-name"),
        pytest.param(machine_with({"unified": "yes"}), "devices[0].unified is 'yes'", id="flag"),
        pytest.param(machine_with({"sources": {"a": 1}}), "devices[0].sources", id="sources"),
        pytest.param(
            {"schema": "budget/machine/v1", "host": {"ram_total_bytes": 1, "ram_available_bytes": 2}},
            "host.ram_available_bytes is 2",
            id="ram-over-total",
        ),
        pytest.param(
            {"schema": "budget/machine/v1", "devices": [{"name": "A"}, {"name": "A"}]},
            "two are called",
            id="twins",
        ),
        pytest.param(
            {"schema": "budget/machine/v1", "host": {"cpu_features": "avx2"}},
            "a list of strings",
            id="features",
        ),
    ],
)
def test_a_bad_file_names_itself_and_the_field(tmp_path, data, words):
    path = tmp_path / "rig.json"
    path.write_text(json.dumps(data))
    with pytest.raises(MachineError) as error:
        load_machine(path)
    assert error.value.message.startswith(str(path))
    assert words in error.value.message
    assert error.value.exit_code == 5


def test_an_unknown_key_comes_with_the_nearest_known_one():
    with pytest.raises(MachineError) as error:
        machine_from_json(machine_with({"fre_bytes": 1}))
    assert error.value.hint.startswith("did you mean free_bytes? known: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"{", "not JSON", id="cut"),
        pytest.param(b"\xff\xfe\x00", "not JSON", id="binary"),
        pytest.param(b"[" * 100_000, "not JSON", id="deep"),
    ],
)
def test_what_is_not_json_is_said_so(tmp_path, text, words):
    path = tmp_path / "rig.json"
    path.write_bytes(text)
    with pytest.raises(MachineError, match=words):
        load_machine(path)


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    with pytest.raises(MachineError, match="cannot read the machine file"):
        load_machine(tmp_path / "no.json")
    with pytest.raises(MachineError, match="cannot read the machine file"):
        load_machine(tmp_path)


def test_reading_a_machine_file_imports_nothing_heavy():
    code = "import sys, budget.machine.file; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not set(out.split()) & {
        "pydantic",
        "rich",
        "psutil",
        "pynvml",
        "ssl",
        "asyncio",
        "numpy",
        "subprocess",
    }
