"""Settings that name devices, against the devices there are."""

import pytest

from budget.errors import ExitCode, MachineError, UsageError
from budget.runtime.command_line import parse_settings
from budget.runtime.device_checks import validate_against_devices

TWO = ("CUDA0", "CUDA1")
REMOTE = ("RPC0[gpu-box:50052]", "CUDA0")


@pytest.mark.parametrize(
    ("words", "devices"),
    [
        ("", ()),
        ("-ts 1,1", TWO),
        ("-ts 1,1,0", TWO),
        ("-ts 1,1 -mg 5", ()),
        ("-sm none -mg 1", TWO),
        ("-sm none -mg -1", TWO),
        ("-sm none -mg 1", ("CUDA1",)),
        ("-dev cuda1", TWO),
        ("-dev RPC0", REMOTE),
        ("-dev none -ts 1,2,3", TWO),
        ("-ot a=CPU,b=CUDA1", TWO),
        ("-ot a=RPC0[gpu-box:50052]", REMOTE),
        ("-cmoe -cmoed", ()),
    ],
)
def test_what_the_devices_allow_passes(words, devices):
    assert validate_against_devices(parse_settings(words.split())[0], devices) is None


@pytest.mark.parametrize(
    "words", ["-dev CUDA2", "-dev CPU", "-dev none,CUDA0", "-devd Vulkan0", "-mmdev CUDA9"]
)
def test_a_device_that_does_not_exist_is_the_machines_error_and_names_those_there_are(words):
    with pytest.raises(MachineError) as e:
        validate_against_devices(parse_settings(words.split())[0], TWO)
    assert e.value.exit_code is ExitCode.NO_DEVICE
    assert e.value.hint == "devices here: CUDA0, CUDA1"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("-ts 1,1,1", "3 shares for 2 devices"),
        ("-dev CUDA0 -ts 1,1", "2 shares for 1 device"),
        ("-ts 0,0,1", "3 shares for 2 devices"),
        ("-sm none -mg 2", "-mg 2: there are 2 devices"),
        ("-mg 7", "-mg 7: there are 2 devices"),
        ("-ot a=CUDA_Host", "a=CUDA_Host: no such buffer type"),
        ("-ot a=cuda0", "no such buffer type"),
        ("-otd a=GPU", "-otd a=GPU: no such buffer type"),
    ],
)
def test_what_goes_beyond_the_devices_is_refused(words, reason):
    with pytest.raises(UsageError) as e:
        validate_against_devices(parse_settings(words.split())[0], TWO)
    assert reason in e.value.message
