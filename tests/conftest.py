"""Tests meet neither the configuration and variables of whoever runs them, nor the pace of the machine."""

from __future__ import annotations

import gc
import os
import tempfile

import hypothesis

KEPT = (
    "PATH", "LD_LIBRARY_PATH", "DYLD_", "SYSTEMROOT", "COMSPEC", "TMP", "TEMP", "VIRTUAL_ENV", "PYTHON", "PYTEST_",
    "COV", "CI", "HYPOTHESIS", "BUDGET_TEST_", "BUDGET_SNAPSHOTS", "REFERENCE_CASES",
)  # fmt: skip
"""Starts of the variables that stay: where programs and libraries are, and what tests themselves ask for."""


def pytest_configure(config):
    """A home of its own for this process and its children; a test run by several workers has one for each."""
    home = tempfile.TemporaryDirectory(prefix="budget-home-")
    config.add_cleanup(home.cleanup)
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # every command that is started would compile the package anew
    os.environ.clear()
    os.environ.update(kept | {"HOME": home.name, "USERPROFILE": home.name, "LANG": "C.UTF-8"})
    gc.set_threshold(100_000)  # graphs have no cycles; looking for them takes a quarter of a plan's time


def pytest_xdist_auto_num_workers(config):
    """Workers for a run of everything; what names files starts sooner without."""
    if config.args_source != config.ArgsSource.TESTPATHS:
        return 0
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(n, 8) if n > 1 else 0


hypothesis.settings.register_profile(
    "steady",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "explore", parent=hypothesis.settings.get_profile("steady"), derandomize=False
)
hypothesis.settings.load_profile("steady")
