"""What the tests ask of a model; a module that loads nothing else, since every process of a scan loads it."""

from __future__ import annotations

import os
import signal


def judge(header, source):
    return header.metadata["general.architecture"].value, len(header.tensors), source.n_shards


def judge_badly(header, source):
    if len(header.tensors) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if len(header.tensors) == 3:
        raise RuntimeError("a bug")
    return judge(header, source)
