"""Options that several commands share, as tables."""

from __future__ import annotations

from typing import Literal

from budget.cli.output import output_parameters
from budget.cli.parameters import Argument, Option, Parameter, shared

Accounting = Literal["real", "fit"]

MODELS = shared("models", list[str], Argument(None, metavar="MODEL...", show_default=False,
           help="A .gguf file, the first shard of a split model, https://, hf://user/repo[:quant], ollama://name:tag or sample:NAME."))  # fmt: skip # noqa: E501
MODEL = shared("model", str, Argument(None, metavar="MODEL", show_default=False,
          help="A .gguf file, the first shard of a split model, https://, hf://user/repo[:quant], ollama://name:tag or sample:NAME."))  # fmt: skip # noqa: E501
ASSUME = shared("assume", str, Option(None, "--assume", metavar="ARCH", show_default=False,
           help="Use this architecture's memory rules for a model that budget does not know."))  # fmt: skip
MACHINE: tuple[Parameter, ...] = (
    shared("machine", str, Option(None, "--machine", metavar="FILE", show_default=False,
     help="Plan for the machine in FILE (see `budget devices --json`), or for one of the catalogue, such as "
     "aws:g6e.xlarge.")),
    shared("gpu", list[str], Option(None, "--gpu", metavar="SPEC", show_default=False,
     help="Plan for this GPU: a size such as 24GiB, or a name such as rtx-4090 or '2x rtx-3090'; repeat for more.")),
    shared("ram", str, Option(None, "--ram", metavar="SIZE", show_default=False, help="Plan for this much RAM.")),
    shared("no_gpu", bool, Option(False, "--no-gpu", help="Plan for the CPU alone.")),
    shared("probe_with", str, Option(None, "--probe-with", metavar="PROGRAM", show_default=False,
     help="Ask this llama-server or llama-cli for its devices (--list-devices).")),
    shared("rpc_from", str, Option(None, "--rpc-from", metavar="INVENTORY", show_default=False,
     help="Plan with an RPC server on every host of an inventory.")),
)  # fmt: skip
BUDGET: tuple[Parameter, ...] = (
    shared("budget", str, Option(None, "--budget", metavar="BUDGET", show_default=False,
     help="auto (the default), unlimited, a size (one pool of RAM and VRAM), or a list: "
     "ram=64GiB,vram=24GiB,CUDA1=auto.")),
    shared("overhead", str, Option(None, "--overhead", metavar="SIZE", show_default=False,
     help="Memory a process takes on each GPU beyond llama.cpp's buffers; auto estimates it.")),
    shared("reserve", str, Option(None, "--reserve", metavar="SIZE", show_default=False,
     help="Memory to leave free on every device.")),
    shared("accounting", Accounting, Option("real", "--accounting",
     help="real: what a load reserves; fit: what llama.cpp's own --fit measures.")),
)  # fmt: skip
POLICY: tuple[Parameter, ...] = (
    shared("config", str, Option(None, "--config", metavar="FILE", show_default=False,
     help="budget.toml to read instead of the one in the configuration folder.")),
    shared("max_resident", str, Option(None, "--max-resident", metavar="SIZE", show_default=False,
     help="Most that models may hold on a device; auto is 80 % of what is free.")),
    shared("headroom", str, Option(None, "--headroom", metavar="SHARE", show_default=False,
     help="Share of what is left that stays unused, such as 0.1.")),
    shared("resident", list[str], Option(None, "--resident", metavar="NAME=CLAIM", show_default=False,
     help="What is loaded already, such as chat=ram:2GiB,CUDA0:10GiB; repeat for more.")),
    shared("ledger", str, Option(None, "--ledger", metavar="FILE", show_default=False,
     help="File of models that were admitted; they count as loaded.")),
    shared("replace", list[str], Option(None, "--replace", metavar="NAME", show_default=False,
     help="A loaded model that this one replaces: its memory comes back first.")),
)  # fmt: skip
WINDOW: tuple[Parameter, ...] = (
    shared("host_cold", str, Option(None, "--host-cold", metavar="SIZE", show_default=False,
     help="RAM for K/V moved out of the cache; --json says how many tokens it holds.")),
    shared("min_hot_context", str, Option(None, "--min-hot-context", metavar="N", show_default=False,
     help="Smallest useful context, tokens; exit 3 where less fits.")),
)  # fmt: skip
"""Policy of the window that can be served, which `max-ctx` answers."""
DESCRIPTION: tuple[Parameter, ...] = (
    shared("params", str, Option(None, "--params", metavar="N", show_default=False,
     help="No file yet: this many weights, such as 8.2B.")),
    shared("bpw", str, Option(None, "--bpw", metavar="BITS", show_default=False,
     help="Bits per weight, such as 4.85.")),
    shared("quant", str, Option(None, "--quant", metavar="NAME", show_default=False,
     help="Quantisation in place of --bpw, such as Q4_K_M.")),
    shared("weights_bytes_text", str, Option(None, "--weights-bytes", metavar="SIZE", show_default=False,
     help="All weights together.")),
    shared("n_layer", int, Option(None, "--layers", metavar="N", show_default=False, help="Layers.")),
    shared("n_layer_kv", int, Option(None, "--kv-layers", metavar="N", show_default=False,
     help="Layers with K/V, where not all have it.")),
    shared("n_head_kv", int, Option(None, "--kv-heads", metavar="N", show_default=False, help="K/V heads.")),
    shared("head_dim", int, Option(None, "--head-dim", metavar="N", show_default=False, help="Size of a head.")),
    shared("kv_bytes_per_token_text", str, Option(None, "--kv-bytes-per-token", metavar="SIZE", show_default=False,
     help="K/V of one token, in place of heads and layers.")),
    shared("fixed_bytes_text", str, Option(None, "--fixed-bytes", metavar="SIZE", show_default=False,
     help="What it takes whatever the context.")),
    shared("n_ctx_train", str, Option(None, "--ctx-train", metavar="N", show_default=False, help="Trained context.")),
    shared("n_swa", int, Option(None, "--window", metavar="N", show_default=False, help="Sliding window, tokens.")),
    shared("n_layer_swa", int, Option(None, "--window-layers", metavar="N", show_default=False,
     help="Layers that have the window.")),
)  # fmt: skip
DESCRIBED_OPTIONS = tuple(p.name for p in DESCRIPTION)
DESCRIBED = "described model"
"""Name of a model that options describe."""
TOOL = shared("tool", Literal["llama-server", "llama-cli"], Option("llama-server", "--tool",
         help="Whose defaults hold for settings that are not given."))  # fmt: skip

OUTPUT = output_parameters()
NO_CACHE = shared("no_cache", bool, Option(False, "--no-cache", help="Read headers again, and keep none."))
