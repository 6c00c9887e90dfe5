"""Files that hold what a command prints: written by `python -m tests.generated`, checked with `--check`."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
_BLOCK = re.compile(r"(<!-- output: (?P<command>[^>]*) -->\n```text\n)(?P<body>.*?)(```)", re.DOTALL)


def output(command: str) -> str:
    """What `command` prints at 80 columns."""
    words = shlex.split(command)
    program = Path(sys.executable).parent / ("python" if words[0] == "python" else words[0])
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT / "tests")}
    run = subprocess.run(
        [program, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    return run.stdout


def fresh(text: str) -> str:
    """`text` with every output block as its command prints it now."""
    return _BLOCK.sub(lambda m: f"{m[1]}{output(m['command'])}{m[4]}", text)


def generated() -> dict[Path, str]:
    """Path to what should be in it."""
    return {path: fresh(path.read_text()) for path in (ROOT / "README.md",)}


def main(arguments: list[str]) -> int:
    """Write or check; the exit code."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            print(f"{name} is stale: run python -m tests.generated")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(generated()[path])
            print(f"wrote {name}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
