"""What the shapes have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Basis = Literal["exact", "formula", "estimate"]
Verdict = Literal["fits", "does_not_fit", "unknown"]
DeviceKind = Literal["gpu", "igpu", "accel", "cpu"]
SplitMode = Literal["none", "layer", "row", "tensor"]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"]

SCHEMA_KEY: Any = Field(
    alias="schema",
    description="Name and version of this shape; what changes the meaning of a field is a new version.",
)

DeviceName = Annotated[
    str,
    Field(
        description="Device whose memory it is, as llama.cpp prints it, such as `CUDA0`; `CPU` is the host's RAM."
    ),
]
DeviceOrMeta = Annotated[
    str,
    Field(
        description="Device whose memory it is, as llama.cpp prints it, such as `CUDA0`, or `CPU` for the host's RAM; "
        "with `-sm tensor` `Meta()`, which stands for all devices together."
    ),
]
BufferName = Annotated[
    str,
    Field(
        description="llama.cpp's name of the buffer type, such as `CUDA0`, `CUDA_Host`, `CPU` or `CPU_REPACK`."
    ),
]
KnownHow = Annotated[
    Basis,
    Field(
        description="How the number is known. `exact`: read from the file, or llama.cpp's own arithmetic, checked "
        "against it. `formula`: the arithmetic is known, this case was not checked. `estimate`: a guess."
    ),
]
Source = Annotated[str, Field(description="Where the number comes from, in a few words.")]
TensorType = Annotated[str, Field(description="GGML type, such as `q4_K` or `f16`.")]


class Object(BaseModel):
    """An object with no key beyond those named; the text under a field is its description."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
