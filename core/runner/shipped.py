"""Finds the files that ship with the package, in a wheel and in an editable checkout."""

from __future__ import annotations

import os
from pathlib import Path


def shipped(name: str) -> Path:
    """The path of a shipped file or folder: `handlers`, `skills.yaml`, `machines.yaml.example`."""
    package = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(package, "_shipped", name)
    if os.path.exists(inside):
        return Path(inside)
    # Editable: core/runner is two levels below the repository's root.
    return Path(os.path.dirname(os.path.dirname(package))) / name
