"""What each real shell offers for a line that was typed so far."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

COMPLETIONS = Path(__file__).parent.parent.parent / "completions"
_BASH = """
source "$1"; shift
COMP_LINE=$1 COMP_POINT=${#1}
_budget
printf '%s\\n' "${COMPREPLY[@]}"
"""
_ZSH = """
PS1='ready> '
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' list-prompt ''
zstyle ':completion:*' menu no
source {script}
compadd() {{
    if [[ ${{@[1,(i)(-|--)]}} == *-(O|A|D)\\ * ]]; then builtin compadd "$@"; return; fi
    local -a hits
    builtin compadd -A hits "$@"
    local hit
    for hit in "${{hits[@]}}"; do print -r -- "$IPREFIX$hit" >> {out}; done
    builtin compadd "$@"
}}
offer() {{ zle complete-word; print -r -- '<end>' >> {out}; BUFFER=; }}
zle -N offer
bindkey '^I' complete-word
finish() {{ print -r -- '<end>' >> {out}; BUFFER= }}
zle -N finish
bindkey '^X^F' finish
LISTMAX=10000
"""


def need(shell: str) -> str:
    """Path of the shell; the test is skipped where it is not installed."""
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


def bash(line: str, folder: Path) -> set[str]:
    run = subprocess.run(
        [need("bash"), "--norc", "-c", _BASH, "bash", COMPLETIONS / "budget.bash", line],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    assert run.stderr == ""
    before = line[len(line.rstrip()) :] or line.rsplit(" ", 1)[-1]
    cut = before[: before.rfind(":") + 1].strip() if "=" not in before else ""
    return {cut + word for word in run.stdout.splitlines() if word}


def fish(line: str, folder: Path) -> set[str]:
    script = COMPLETIONS / "budget.fish"
    run = subprocess.run(
        [need("fish"), "--no-config", "-c", f"source {script}; complete -C $argv[1]", "--", line],
        capture_output=True, text=True, check=True, cwd=folder,
        env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
    )  # fmt: skip
    assert run.stderr == ""
    return {word.split("\t")[0] for word in run.stdout.splitlines()}


class Zsh:
    """One interactive zsh in a terminal of its own: completion runs nowhere else."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "offered"
        setup = folder / "setup.zsh"
        setup.write_text(_ZSH.format(script=COMPLETIONS / "_budget", out=self.out))
        shell = need("zsh")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(shell, [shell, "-f", "-i"], {**os.environ, "TERM": "dumb", "PS1": "start> "})
        self._write(f"source {setup}; : > {self.out}; print '<end>' >> {self.out}\n")
        self._read()

    def offers(self, line: str) -> set[str]:
        self.out.write_text("")
        self._write(f"{line}\t\x18\x06")
        return self._read()

    def close(self) -> None:
        os.close(self.terminal)
        os.waitpid(self.pid, 0)

    def _write(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def _read(self) -> set[str]:
        """Lines of the file once it has ended; what the terminal shows is only in the way."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            while select.select([self.terminal], [], [], 0.02)[0]:
                os.read(self.terminal, 65536)
            lines = self.out.read_text().splitlines() if self.out.exists() else []
            if "<end>" in lines:
                return set(lines) - {"<end>"}
        raise TimeoutError("zsh did not answer")
