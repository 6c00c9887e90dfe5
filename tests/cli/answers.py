"""A line for every kind of answer that a command gives, and the files that the lines name.

Every machine is described, so that an answer is the same wherever the tests run.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import truth
from ghost import write_ghost

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SAMPLE = "sample:llama-3.1-8b"
CARD = "--gpu 8GiB --ram 16GiB --overhead 512MiB"
TWO = "--gpu 24GiB --gpu 24GiB --ram 64GiB --overhead 512MiB"
ANSWERS = {
    "fit": f"fit {SAMPLE} {CARD} -c 16k",
    "fit-short": f"fit sample:llama-3.3-70b {TWO} -c 32k --reserve 256MiB",
    "fit-buffers": f"fit sample:gpt-oss-20b {TWO} -c 16k --buffers",
    "fit-host": f"fit sample:gpt-oss-20b {TWO} -c 16k --host",
    "fit-pool": f"fit {SAMPLE} {CARD} -c 16k --budget 7GiB",
    "fit-unlimited": f"fit {SAMPLE} {CARD} -c 16k --budget unlimited",
    "fit-verbose": f"fit {SAMPLE} {CARD} -c 16k -v",
    "fit-described": f"fit --params 8.2B --bpw 4.85 --layers 36 --kv-heads 8 --head-dim 128 -c 8k {CARD}",
    "fit-several": f"fit {SAMPLE} sample:gpt-oss-20b {TWO} -c 64k --budget vram=12GiB",
    "fit-admit": f"fit {SAMPLE} {TWO} -c 16k --ledger ledger.json --admit --name chat",
    "fit-refused": f"fit sample:llama-3.3-70b {CARD} -c 16k --ledger ledger.json --admit",
    "fit-evict": f"fit {SAMPLE} {CARD} -c 16k --evict --resident chat=CUDA0:6GiB --resident code=CUDA0:1GiB",
    "fit-inventory": "fit sample:llama-3.3-70b --inventory nodes.json -c 16k",
    "max-ctx": f"max-ctx {SAMPLE} {CARD}",
    "place": f"place sample:llama-3.3-70b {TWO} -c 16k -ngl 60",
    "place-compute": f"place {SAMPLE} {CARD} -c 16k --compute",
    "advise": f"advise {SAMPLE} {CARD} -ub 512 -ctk f16 -ctv f16",
    "advise-nothing": "advise sample:llama-3.3-70b --gpu 8GiB --ram 8GiB -c 64k -ctk f16 -ctv f16 -ub 512 -ngl 0",
    "request": "request --used 6000 --completion 4000 --capacity 8192",
    "request-too-long": "request --used 9000 --capacity 8192",
    "sweep": f"sweep {SAMPLE} {CARD} --ctx 4k..64k --kv f16,q8_0",
    "sweep-layers": f"sweep sample:llama-3.3-70b {TWO} -c 8k --ngl 0..81:27",
    "diff": f"diff {SAMPLE} {CARD} -c 16k --b '-ctk q8_0 -ctv q8_0'",
    "diff-models": f"diff {SAMPLE} sample:gpt-oss-20b {TWO} -c 16k",
    "check": "check GATE.toml",
    "check-failing": "check failing.toml",
    "inspect": "inspect sample:gemma-3-27b",
    "profile": f"inspect {SAMPLE} --profile {CARD}",
    "scan": f"scan models {TWO} -c 8k -j 1",
    "devices": "devices --gpu 24GiB --gpu 8GiB --ram 64GiB",
    "devices-verbose": "devices --gpu rtx-4090 --ram 64GiB -v",
    "hardware": "hardware rtx-4090",
    "hardware-fits": "hardware 'rtx 4090' --fits sample:qwen3-30b-a3b --ctx 16k",
    "verify": f"verify {SAMPLE} {CARD} -c 16k -ngl 99 --log server.log",
    "config": "config --reserve 1GiB",
    "cache": "cache",
    "schema": "schema",
}
"""Name to command line."""
GATE = """
[machines]
card = {gpu = "8GiB", ram = "16GiB"}

[[gate]]
name = "a chat"
model = "sample:llama-3.1-8b"
machine = "card"
settings = "-c 16k"
fits = true
expect = ["max_ctx >= 16384", "CUDA0 <= 7.5GiB"]
"""
FAILING = f"""{GATE}
[[gate]]
name = "long documents"
model = "sample:llama-3.1-8b"
machine = "card"
settings = "-c 64k"
fits = true
expect = ["max_ctx >= 64k"]

[[gate]]
name = "a model that is not there"
model = "gone.gguf"
machine = "card"
fits = true
"""
LOG = """\
load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
load_tensors:        CUDA0 model buffer size =  4403.49 MiB
llama_kv_cache:      CUDA0 KV buffer size =  2048.00 MiB
sched_reserve:      CUDA0 compute buffer size =   258.50 MiB
"""


def prepare(folder: Path, monkeypatch) -> None:
    """Work in `folder`, with the files there and without the configuration of who runs the tests."""
    for name in [n for n in os.environ if n.startswith(("BUDGET_", "LLAMA_"))]:
        if name != "BUDGET_SNAPSHOTS":
            monkeypatch.delenv(name)
    for name in ("LC_ALL", "LC_CTYPE", "FORCE_COLOR", "NO_COLOR", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_US.UTF-8")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.chdir(folder)
    models = folder / "models"
    models.mkdir()
    write_ghost(truth.specs()["real/llama-3.1-8b"], models / "llama-3.1-8b.gguf")
    (models / "broken.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    for name, text in {"GATE.toml": GATE, "failing.toml": FAILING, "server.log": LOG}.items():
        (folder / name).write_text(text)
    shutil.copy(EXAMPLES / "nodes.json", folder)
