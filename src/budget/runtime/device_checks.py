"""Settings against the devices there are: what llama.cpp would refuse, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from budget.errors import MachineError, UsageError
from budget.runtime.settings import Settings
from budget.units import counted


def validate_against_devices(settings: Settings, device_names: Sequence[str]) -> None:
    """Refuse what names or counts devices that are not there.

    Args:
        device_names: as llama.cpp lists them, without the CPU: `CUDA0`, `RPC0[host:port]`.

    Raises:
        MachineError: `-dev`, `-devd` or `-mmdev` names a device that does not exist.
        UsageError: `-ts` or `-mg` goes beyond the devices in use, or `-ot` names no buffer type.

    Source: arg.cpp (`parse_device_list`, `parse_tensor_buffer_overrides`), llama.cpp (`llama_prepare_model_devices`).
    """
    for flag, names in (
        ("-dev", settings.devices),
        ("-devd", settings.draft_devices),
        ("-mmdev", (settings.mmproj_device,) if settings.mmproj_device else ()),
    ):
        _check_names(flag, names or (), device_names)
    in_use = tuple(device_names) if settings.devices is None else settings.devices
    if in_use:
        _check_main_gpu(settings, in_use)
        _check_tensor_split(settings, len(in_use))
    _check_buffer_types("-ot", settings.tensor_buft_overrides, device_names)
    _check_buffer_types("-otd", settings.draft_tensor_buft_overrides, device_names)


def _check_names(flag: str, names: Sequence[str], device_names: Sequence[str]) -> None:
    """llama.cpp compares names without regard to case; the address of an RPC device may be left away."""
    known = {name.lower() for name in device_names} | {
        name.partition("[")[0].lower() for name in device_names
    }
    for name in names:
        if name.lower() not in known:
            there = ", ".join(device_names) or "none"
            raise MachineError(f"{flag} {name}: no such device", hint=f"devices here: {there}")
    refuse_repeated(flag, names)


def refuse_repeated(flag: str, names: Sequence[str]) -> None:
    """A device named twice: llama.cpp makes two backends of one memory, which no rule of budget counts.

    Raises:
        UsageError: names the device.
    """
    plain = [name.partition("[")[0].lower() for name in names]
    for i, name in enumerate(names):
        if plain[i] in plain[:i]:
            raise UsageError(
                f"{flag} {','.join(names)}: {name} is named twice",
                hint="name each device once; -ts gives one a larger share",
            )


def _check_main_gpu(settings: Settings, in_use: Sequence[str]) -> None:
    """Out of range matters to `-sm none` alone; elsewhere it still says something that is not so."""
    main_gpu = settings.main_gpu
    numbers = {_number(name) for name in in_use} if settings.devices is None else set()
    if main_gpu >= len(in_use) and str(main_gpu) not in numbers:
        raise UsageError(
            f"-mg {main_gpu}: {numbered(len(in_use))}",
            hint=f"devices in use: {', '.join(in_use)}",
        )


def numbered(n_devices: int) -> str:
    """How many devices there are, and which numbers they have."""
    if n_devices == 1:
        return "there is 1 device, number 0"
    return f"there are {n_devices} devices, numbered 0 to {n_devices - 1}"


def _number(name: str) -> str:
    """The number in `CUDA1` or `RPC0[host:port]`."""
    prefix = name.partition("[")[0]
    return prefix[len(prefix.rstrip("0123456789")) :]


def _check_tensor_split(settings: Settings, n_devices: int) -> None:
    shares = settings.tensor_split
    if any(shares[n_devices:]):
        raise UsageError(
            f"-ts has {counted(len(shares), 'share')} for {counted(n_devices, 'device')}",
            hint="give one share per device at most",
        )
    if shares and not any(shares[:n_devices]):
        raise UsageError("-ts: every share is 0", hint="leave it away to split by free memory")


def _check_buffer_types(flag: str, overrides: Sequence[tuple[str, str]], device_names: Sequence[str]) -> None:
    """`-ot` takes each device's own buffer type, which has the device's name; pinned host memory has none."""
    known = ("CPU", *device_names)
    for pattern, buffer_type in overrides:
        if buffer_type not in known:
            raise UsageError(
                f"{flag} {pattern}={buffer_type}: no such buffer type",
                hint=f"buffer types here: {', '.join(known)}",
            )
