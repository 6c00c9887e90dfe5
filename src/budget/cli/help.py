"""`--help` of a command: its options in groups, llama.cpp's as llama-server groups them, then examples."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from budget.cli.options import DESCRIBED_OPTIONS
from budget.runtime.options import SETTINGS_OPTIONS

OWN = "Options"
GROUPS: dict[str, tuple[str, ...]] = {
    "Output": ("json", "format", "quiet", "verbose", "explain"),
    "Model": ("assume", "no_cache"),
    "Machine": ("machine", "gpu", "ram", "no_gpu", "probe_with", "rpc_from"),
    "Budget": ("budget", "overhead", "reserve", "accounting"),
    "What is loaded already": (
        "config",
        "max_resident",
        "headroom",
        "host_cold",
        "min_hot_context",
        "resident",
        "ledger",
        "replace",
    ),
    "A model without a file": DESCRIBED_OPTIONS,
    "llama.cpp": ("tool",),
}
"""Group to the names of its options; llama.cpp's own come from the flag table."""
LLAMA_GROUPS = {
    "common": "llama.cpp",
    "server": "llama.cpp: llama-server",
    "speculative": "llama.cpp: speculative decoding",
}
_GROUP_OF = {
    **{name: group for group, names in GROUPS.items() for name in names},
    **{f"llama_{option.name}": LLAMA_GROUPS[option.group] for option in SETTINGS_OPTIONS},
}
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("budget fit sample:llama-3.1-8b --gpu 8GiB --ram 16GiB", "no file and no card needed"),
        ("budget fit -- llama-server -m model.gguf -ngl 99 -c 32768", "a real command line"),
        ("llama-server -m model.gguf -c $(budget max-ctx model.gguf)", "in a script"),
        ("budget check GATE.toml", "in CI"),
    ),
    "fit": (
        ("budget fit model.gguf", "on this machine, as it is now"),
        ("budget fit hf://user/repo:Q4_K_M --gpu rtx-4090 --ram 64GiB -c 32k", "nothing is downloaded"),
        ("budget fit -- llama-server -m model.gguf -ngl 99 -c 32768", "a real command line"),
        ("budget fit model.gguf -ctk q8_0 -ctv q8_0 --format markdown", "for a pull request"),
    ),
    "max-ctx": (
        ("llama-server -m model.gguf -c $(budget max-ctx model.gguf)", "one integer, nothing else"),
        ("budget max-ctx model.gguf -np 8 --per-slot", "of each of eight slots"),
    ),
    "place": (
        ("budget place model.gguf --gpu 24GiB --gpu 12GiB -ts 2,1", "two cards, shares 2 to 1"),
        ("budget place model.gguf -ncmoe 20", "experts of 20 layers in RAM"),
    ),
    "advise": (
        ("budget advise model.gguf", "this machine"),
        ("budget advise model.gguf --gpu 12GiB --ram 64GiB -c 32k", "another machine, this context"),
        ("budget advise model.gguf --line | sh", "start what it says"),
    ),
    "request": (
        ("budget request --used 6000 --completion 2048 --capacity 8192", "does the answer fit"),
        ("budget request model.gguf -np 4 --used 6000", "in one of four slots"),
    ),
    "sweep": (
        ("budget sweep model.gguf", "contexts up to the trained one"),
        ("budget sweep model.gguf --ctx 4k..128k --kv f16,q8_0 --svg sweep.svg", "a line per K/V type"),
        ("budget sweep model.gguf --ngl 0..81 -c 16k", "offloaded layers"),
    ),
    "diff": (
        ("budget diff Q4_K_M.gguf Q8_0.gguf -c 16k", "two models"),
        ("budget diff model.gguf --b '-ctk q8_0 -ctv q8_0'", "with and without"),
        ("budget diff before.json model.gguf", "against an answer of budget fit --json"),
    ),
    "check": (
        ("budget check --init", "an example that passes as it stands"),
        ("budget check GATE.toml --junit report.xml", "in CI"),
        ("budget check --format github", "annotations and a job summary"),
    ),
    "inspect": (("budget inspect https://host/model.gguf", "only the header is read"),),
    "devices": (
        ("budget devices -v", "where each number comes from"),
        ("budget devices --json > rig.json", "a machine file: budget fit --machine rig.json"),
    ),
    "scan": (
        ("budget scan", "what Hugging Face, LM Studio, llama.cpp and Ollama have stored here"),
        ("budget scan /srv/models --gpu 24GiB --ram 64GiB -c 16k", "against another machine"),
    ),
    "verify": (
        ("budget verify model.gguf -ngl 99 -c 8k --log server.log", "what a server printed"),
        ("budget verify model.gguf --llama-cpp build/bin", "what llama-fit-params says"),
    ),
    "config": (
        ("budget config", "what holds, and which file or variable says so"),
        ("BUDGET_RESERVE=1GiB budget config", "from the environment"),
    ),
    "cache": (("budget cache clear", "read every header anew"),),
    "hardware": (("budget hardware 'rtx 40' --fits model.gguf", "cards that run it"),),
    "schema": (("budget fit model.gguf --json | jq .verdict", "budget schema fit says what is in it"),),
}
"""Command to lines that work as they stand, and what each one shows; the empty name is `budget` alone."""


def group_of(name: str) -> str:
    """The group of the parameter with this name."""
    return _GROUP_OF.get(name, OWN)


def examples(command: str) -> str:
    """The examples of a command as text."""
    lines = "\n".join(f"  {line}\n      {what}" for line, what in EXAMPLES[command])
    return f"Examples:\n{lines}"


class GroupedCommand(TyperCommand):
    """A command whose help is in groups and ends in examples."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, the command's own options, then the shared ones group by group."""
        arguments: list[tuple[str, str]] = []
        groups: dict[str, list[tuple[str, str]]] = {g: [] for g in (OWN, *GROUPS, *LLAMA_GROUPS.values())}
        for parameter in self.get_params(ctx):
            parameter.opts = list(
                dict.fromkeys(parameter.opts)
            )  # pairs with negations repeat the shorter side
            parameter.secondary_opts = list(dict.fromkeys(parameter.secondary_opts))
            told = parameter.get_help_record(ctx)
            if told is None:
                continue
            if parameter.param_type_name == "argument":
                arguments.append(told)
            else:
                groups[group_of(parameter.name or "")].append(told)
        for title, rows in (("Arguments", arguments), *groups.items()):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples as they are, not filled into a paragraph."""
        if self.epilog:
            formatter.write(f"\n{self.epilog}\n")
