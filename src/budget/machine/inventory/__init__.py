"""Many hosts at once: Kubernetes nodes, Slurm nodes, and machine files gathered from hosts."""

from __future__ import annotations
