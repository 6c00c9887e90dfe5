"""What `budget check --init` writes: an example that passes as it stands."""

EXAMPLE = """\
# What must fit, checked by `budget check`. Nothing is loaded or downloaded but the headers of models.
# Paths are meant from the folder of this file. In CI: exit code 0 if all is met, 3 if something is not.

# Names for what the gates below talk about. Each can also stand in a gate itself.
[models]
small = "sample:llama-3.1-8b"       # a header that ships with budget; yours: a path, https://, hf://user/repo:Q4_K_M
large = "sample:llama-3.3-70b"

[machines]
desktop = { gpu = "rtx-4090", ram = "64GiB" }         # cards of the catalogue: see `budget hardware`
workstation = { gpu = ["24GiB", "24GiB"], ram = "128GiB" }
server = { gpu = "2x h100:80GiB", ram = "256GiB" }
# prod = "prod.json"                                 # a machine file: `budget devices --json > prod.json`

[settings]                                           # llama.cpp's own flags
chat = "-c 16384 -np 4"
long = "-c 65536 -np 1 -ctk q8_0 -ctv q8_0"

[defaults]                                           # for every gate that does not say otherwise
reserve = "512MiB"                                   # left free on every device

# Every model on every machine with every settings of a gate is one case.
[[gate]]
name = "the small model serves four chats"
models = ["small"]
machines = ["desktop", "workstation"]
settings = ["chat"]
fits = true
expect = ["max_ctx >= 32768"]                        # the largest context (-c) that fits, tokens

[[gate]]
name = "the large model, long documents"
model = "large"
machine = "server"
settings = "long"
expect = [
  "fits = true",
  "CUDA0 <= 60GiB",                                  # what a device needs
  "vram.context <= 12GiB",                           # all GPUs; parts: weights context compute overhead left ...
  "ram <= 4GiB",
]

[[gate]]
name = "the large model does not fit a single card"  # tells when an assumption stops being true
model = "large"
machine = { gpu = "24GiB", ram = "64GiB" }
settings = "-c 8192 -ngl all"
fits = false
"""
