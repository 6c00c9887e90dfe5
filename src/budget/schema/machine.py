"""Shapes of what is said about machines, the catalogue, and the models found on disk or in a repository."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt

from budget.schema.base import SCHEMA_KEY, DeviceKind, Object, Verdict
from budget.schema.plan import DeviceRow


class HardwareRow(Object):
    """One entry of the catalogue."""

    id: str
    """Name for `--gpu` or `--machine`."""
    kind: Literal["gpu", "apu", "soc", "mig-profile", "machine", "instance", "ci-runner"]
    """What it is: a card, a processor with graphics, a chip with one memory, a slice of a card, or a whole machine."""
    name: str
    """What its maker calls it."""
    memory_bytes: NonNegativeInt | None
    """Memory that llama.cpp sees on its devices, all together, bytes; RAM where it has no device. null where it is
    not known."""
    ram_bytes: NonNegativeInt | None
    """RAM that it comes with, bytes; null for a card, which comes with none."""
    bandwidth_bytes_per_second: int | None
    """Bandwidth of its memory; null for whole machines, and where it is not known."""
    confidence: Literal["high", "medium", "low"]
    """Of the memory: `high` where a driver's own output shows it, `low` where it is the figure on the box."""
    notes: str
    """What else is worth knowing; empty where there is nothing."""
    required_bytes: dict[str, NonNegativeInt] | None
    """What the model of `--fits` takes there, bytes by device; null where none was asked about."""


class Hardware(Object):
    """What `budget hardware --json` prints: the catalogue, or the part of it that runs a model."""

    schema_: Literal["budget/hardware/v1"] = SCHEMA_KEY
    hardware: list[HardwareRow]
    """The entries, least memory first."""


class Judged(Object):
    """The verdict on one model, in short."""

    architecture: str
    """`general.architecture` of the header, such as `llama`."""
    tensor_bytes: NonNegativeInt
    """Weights as the file holds them, bytes."""
    n_ctx_train: int
    """Trained context, tokens."""
    n_ctx: int
    """Total context that the verdict is about, tokens: `-c`, else the largest that fits, else the smallest there
    is."""
    verdict: Verdict
    """Whether it fits at that context."""
    required_bytes: NonNegativeInt
    """What it takes on all devices together, bytes, at that context."""
    max_ctx: int | None
    """Largest total context that fits, tokens; null where none does or it is not known."""
    reason: str
    """Why it does not fit or is not known; empty where it fits."""
    mmproj: str | None
    """Path or address of the projector that is counted with it; null where none is."""


class ScanRow(Object):
    """One model that was found."""

    name: str
    """The repository, or the path below the folder, for people."""
    spec: str
    """The model as other commands take it."""
    store: str
    """`Hugging Face`, `LM Studio`, `llama.cpp`, `Ollama`, or the folder or address that was searched."""
    kind: Literal["model", "mmproj", "draft", "other"]
    """What the file is for, by its name: `mmproj` is the image or audio part of a model, `draft` a helper for
    speculative decoding."""
    file_bytes: NonNegativeInt | None
    """Size of the file, or of all shards, bytes; null where it is not known."""
    result: Judged | None
    """The verdict; null where there is an error, and for files that are no models by themselves."""
    error: str | None
    """What is wrong with the file; null where nothing is."""
    hint: str | None
    """What to do about it; null where there is nothing to say."""


class Scan(Object):
    """What `budget scan --json` prints: every model in the stores and folders, each with its verdict."""

    schema_: Literal["budget/scan/v1"] = SCHEMA_KEY
    models: list[ScanRow]
    """One for each file, or for all shards of one."""


class QuantRow(Object):
    """One quantisation of a repository."""

    quant: str
    """The quantisation by the file's name, such as `Q4_K_M`; the name itself where it says none."""
    path: str
    """The file, or the first shard, in the repository."""
    result: Judged | None
    """The verdict; null where there is an error."""
    error: str | None
    """Why the file cannot be read; null where it can."""


class Quants(Object):
    """What `budget fit hf://user/repo --json` prints: every quantisation of a repository, each with its verdict."""

    schema_: Literal["budget/quants/v1"] = SCHEMA_KEY
    repository: str
    """The repository as it was named."""
    quants: list[QuantRow]
    """One for each quantisation."""
    mmproj: list[str]
    """Paths of the projectors in the repository."""


class NodeRow(Object):
    """One host of an inventory."""

    name: str
    """As the inventory calls it."""
    verdict: Literal["fits", "does_not_fit", "unknown", "unavailable"]
    """Whether the model fits there; `unavailable` for a host that takes no work now."""
    reason: str
    """Why it does not fit, is not known or is unavailable; empty where it fits."""
    devices: list[DeviceRow]
    """A row for each device; empty where there is no plan."""


class FitInventory(Object):
    """What `budget fit MODEL --inventory FILE --json` prints: which hosts hold the model."""

    schema_: Literal["budget/fit-inventory/v1"] = SCHEMA_KEY
    nodes: list[NodeRow]
    """Every host, in the inventory's order."""


class Cache(Object):
    """What `budget cache --json` prints: where headers that were read before are kept, and how many."""

    schema_: Literal["budget/cache/v1"] = SCHEMA_KEY
    folder: str
    """Path of the folder that holds them."""
    n_entries: NonNegativeInt
    """Headers that were kept before the command."""
    total_bytes: NonNegativeInt
    """Their size on disk, bytes."""
    n_removed: NonNegativeInt
    """Headers that `budget cache clear` removed; 0 without `clear`."""


class SchemaName(Object):
    """One schema."""

    name: str
    """What `budget schema NAME` takes."""
    description: str
    """What the schema describes, in one sentence."""


class Schemas(Object):
    """What `budget schema --json` prints: the names of all schemas."""

    schema_: Literal["budget/schemas/v1"] = SCHEMA_KEY
    schemas: list[SchemaName]
    """One for each JSON that budget reads or writes."""


class HostFacts(Object):
    """The host's memory, and the processor features that change llama.cpp's buffers."""

    ram_total_bytes: NonNegativeInt | None = None
    """Physical RAM, or the tightest limit around the process, bytes; null where it is not known."""
    ram_available_bytes: NonNegativeInt | None = None
    """What can be used without swapping, inside every limit, bytes; null where it is not known."""
    cpu_features: list[str] = Field(default_factory=list)
    """Processor features in llama.cpp's words, such as `avx2`, `f16c` or `dotprod`: they decide which weights are
    repacked."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Where each number comes from, by the name of its field."""


class DeviceFacts(Object):
    """One memory device, as llama.cpp would list it."""

    name: str
    """As llama.cpp prints it: `CUDA0`, `ROCm0`, `MTL0`, `Vulkan0`, `SYCL0`, `RPC0[host:port]`."""
    kind: DeviceKind = "gpu"
    """What llama.cpp takes it for; it uses an `igpu` only where there is no `gpu`."""
    backend: Literal["cuda", "hip", "musa", "metal", "vulkan", "sycl", "cann", "opencl", "rpc", "cpu"] = (
        "cuda"
    )
    """The ggml backend that drives it."""
    description: str = ""
    """The card's own name, such as `NVIDIA GeForce RTX 4090`."""
    compute_capability: str | None = None
    """NVIDIA compute capability such as `8.9`, or an AMD target such as `gfx1100`; null where it is not known."""
    total_bytes: NonNegativeInt | None = None
    """Memory that the backend reports as total, bytes; null where it is not known."""
    free_bytes: NonNegativeInt | None = None
    """Memory that is free now, bytes; null where it is not known."""
    uuid: str | None = None
    """What the driver calls this very card, such as `GPU-` and a UUID; null where it is not known."""
    pci_id: str | None = None
    """Its place on the bus, such as `0000:01:00.0`; null where it is not known."""
    bandwidth_bytes_per_second: int | None = None
    """Bandwidth of its memory, for `budget advise`; null where it is not known."""
    unified: bool = False
    """Whether its memory is the host's RAM."""
    alignment_bytes: int | None = None
    """Alignment of its buffers, bytes; null where the backend's own default holds."""
    max_buffer_bytes: int | None = None
    """Largest single allocation, bytes; null where there is no limit or it is not known."""
    remote_backend: str | None = None
    """For an RPC device the backend of the server behind it, such as `cuda`; null for others, and where it is not
    known."""
    context_in_use: bool = False
    """Whether free memory was read with the driver's context already there, so that it is paid for."""
    sources: dict[str, str] = Field(default_factory=dict)
    """Where each number comes from, by the name of its field."""
    problem: str | None = None
    """Why it cannot be used or read, in one sentence; null where nothing is wrong."""


class MachineFile(Object):
    """What `budget devices --json` prints and `--machine FILE` reads: the memory devices of one machine."""

    schema_: Literal["budget/machine/v1"] = SCHEMA_KEY
    host: HostFacts
    """The host's own memory."""
    devices: list[DeviceFacts] = Field(default_factory=list)
    """The devices beside it, in llama.cpp's order."""
    notes: list[str] = Field(default_factory=list)
    """What was found worth saying, such as a missing driver or a hidden card."""
