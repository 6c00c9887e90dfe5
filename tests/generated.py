"""Files that hold what commands and the parser say: written by `python -m tests.generated`, checked with `--check`.

- README.md and docs/*.md: what stands under `<!-- output: COMMAND -->`, and under `<!-- output -->` after an `sh`
  block, is what the command or that block prints. The blocks of one document run one after the other, in a copy of
  docs/examples, with no configuration of the user.
- completions/, man/, docs/commands.md, docs/schema/, docs/accuracy.md.
- docs/pictures/*.svg: the commands of tests/generate/pictures.py on a terminal: text, place and colours.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).parent.parent
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))
EXAMPLES = ROOT / "docs" / "examples"
_OUTPUT = re.compile(
    r"(?P<head>(?:```sh\n(?P<script>(?:(?!```).)*?)```\n\n?)?<!-- output(?:: (?P<command>[^>]*))? -->\n```[a-z]*\n)"
    r"(?P<body>.*?)(?P<tail>```)",
    re.DOTALL,
)
_ARE_WHOLE = ("docs/commands.md", "docs/accuracy.md", "docs/python-reference.md", "docs/schema/README.md")
"""Documents that are written as a whole."""
_NOT_EVERYWHERE = ("jq",)
"""Programs that a machine may lack: the output of their blocks is left as it is then."""


_NOT_KEPT = ("BUDGET_", "LLAMA_", "XDG_", "FORCE_", "PYTHONDONTWRITEBYTECODE")
"""Starts of variables; without byte code each of the commands below would compile the package anew."""


def environment(home: str) -> dict[str, str]:
    """The user's own configuration, caches and variables are out of it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_KEPT)}
    return {
        **kept, "COLUMNS": "80", "NO_COLOR": "1", "HOME": home, "PYTHONPATH": str(ROOT / "tests"), "LC_ALL": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }  # fmt: skip


class _Tables:
    """What the modules of tests/bench/tables.py print; one process prints all, beside what else is under way."""

    names = ("tests.bench.accuracy", "tests.bench.architectures")

    def __init__(self) -> None:
        self._lock = Lock()
        self._child: subprocess.Popen[str] | None = None
        self._printed: dict[str, str] | None = None

    def start(self) -> None:
        with self._lock:
            if self._child is None:
                command = [sys.executable, "-m", "tests.bench.tables"]
                self._child = subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    env=environment(tempfile.gettempdir()),
                )

    def text(self, name: str) -> str:
        self.start()
        with self._lock:
            if self._printed is None:
                assert self._child is not None
                said, _ = self._child.communicate()
                self._printed = json.loads(said)
            return self._printed[name]


_tables = _Tables()


def output(command: str, home: str) -> str:
    """What one command prints, run in the root of the repository."""
    words = shlex.split(command)
    if words[:2] == ["python", "-m"] and words[2:] in ([name] for name in _tables.names):
        return _tables.text(words[2])
    program = Path(sys.executable).parent / words[0]
    run = subprocess.run(
        [program, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT, env=environment(home)
    )
    return run.stdout


def script_output(script: str, home: str) -> str:
    """What a block of shell prints, on stdout and stderr, run in a copy of the examples."""
    run = subprocess.run(
        ["bash", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=home,
        env=environment(home),
    )  # fmt: skip
    return run.stdout


def fresh(text: str) -> str:
    """`text` with every output block as its command prints it now."""
    with tempfile.TemporaryDirectory() as home:
        if EXAMPLES.exists():
            shutil.copytree(EXAMPLES, home, dirs_exist_ok=True)

        def replaced(match: re.Match[str]) -> str:
            if match["command"]:
                return f"{match['head']}{output(match['command'], home)}{match['tail']}"
            script = match["script"] or ""
            if any(shutil.which(name) is None for name in _NOT_EVERYWHERE if name in script.split()):
                return match[0]
            return f"{match['head']}{script_output(script, home)}{match['tail']}"

        return _OUTPUT.sub(replaced, text)


def _documents() -> dict[Path, Callable[[], str]]:
    paths = [*sorted((ROOT / "docs").glob("**/*.md")), ROOT / "README.md"]
    return {
        path: lambda path=path: fresh(path.read_text())
        for path in paths
        if str(path.relative_to(ROOT)) not in _ARE_WHOLE
    }


def _accuracy() -> str:
    return _tables.text("tests.bench.architectures")


def _from_parser() -> dict[Path, str]:
    from generate import bash, fish, man, powershell, python_reference, reference, schemas, zsh

    files = {
        "completions/budget.bash": bash.script(),
        "completions/_budget": zsh.script(),
        "completions/budget.fish": fish.script(),
        "completions/budget.ps1": powershell.script(),
        "docs/commands.md": reference.document(),
        "docs/python-reference.md": python_reference.document(),
    }
    files |= {f"man/{name}": text for name, text in man.pages().items()}
    files |= {f"docs/schema/{name}": text for name, text in schemas.files().items()}
    return {ROOT / name: text for name, text in files.items()}


def generated(only: Sequence[str] = ()) -> dict[Path, str]:
    """Path to what should be in it; with `only`, the paths that start with one of these."""
    from generate import pictures

    found = _from_parser()
    slow = _documents()
    slow |= {ROOT / "docs" / "pictures" / name: draw for name, draw in pictures.drawings().items()}
    slow[ROOT / "docs" / "accuracy.md"] = _accuracy
    wanted = {path: make for path, make in slow.items() if _is_wanted(path, only)}
    if {ROOT / "README.md", ROOT / "docs" / "accuracy.md"} & set(wanted):
        _tables.start()
    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 1) + 1) as pool:  # README.md waits for the tables
        running = {path: pool.submit(make) for path, make in wanted.items()}
        found |= {path: future.result() for path, future in running.items()}
    return {path: text for path, text in found.items() if _is_wanted(path, only)}


def _is_wanted(path: Path, only: Sequence[str]) -> bool:
    return not only or str(path.relative_to(ROOT)).startswith(tuple(only))


def left_over(expected: dict[Path, str]) -> list[Path]:
    """Files that nothing writes any more."""
    folders = [ROOT / name for name in ("completions", "man", "docs/schema", "docs/pictures")]
    return [path for folder in folders for path in sorted(folder.glob("*")) if path not in expected]


def is_fresh(path: Path, text: str) -> bool:
    """Whether the file says what it should; a picture's characters count, not how this version of Rich writes them."""
    if not path.exists():
        return False
    if path.suffix == ".svg":
        from generate.pictures import cells

        return cells(path.read_text()) == cells(text)
    return path.read_text() == text


def main(arguments: list[str]) -> int:
    """Write or check everything, or what starts with one of the paths given; the exit code."""
    only = [argument for argument in arguments if argument != "--check"]
    expected = generated(only)
    stale = [path for path, text in expected.items() if not is_fresh(path, text)]
    extra = [] if only else left_over(expected)
    for path in (*stale, *extra):
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            print(f"{name} is stale: run python -m tests.generated")
        elif path in extra:
            path.unlink()
            print(f"removed {name}")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(expected[path])
            print(f"wrote {name}")
    return 1 if (stale or extra) and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
