"""Errors that a caller inside this package tells apart."""

from __future__ import annotations

from budget.errors import BadModelError


class MissingFileError(BadModelError):
    """There is no file of that name, on disk or on the server."""
