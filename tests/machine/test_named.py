"""`--machine TEXT`: a file or a name."""

import json

import pytest

from budget.errors import MachineError
from budget.machine.device import Host, Machine
from budget.machine.file import machine_to_json
from budget.machine.named import open_machine


def test_a_file_that_is_there_is_a_file(tmp_path, monkeypatch):
    (tmp_path / "rig").write_text(json.dumps(machine_to_json(Machine(host=Host(ram_total_bytes=7)))))
    monkeypatch.chdir(tmp_path)
    assert open_machine("rig").host.ram_total_bytes == 7


def test_a_name_is_looked_up():
    assert open_machine("aws:g6e.xlarge").devices[0].description == "NVIDIA L40S"


@pytest.mark.parametrize(
    ("text", "words"),
    [("rig.json", "cannot read the machine file"), ("./rig", "cannot read"), ("aws:x", "has no")],
)
def test_what_is_neither_is_an_error_of_its_kind(text, words):
    with pytest.raises(MachineError, match=words):
        open_machine(text)
