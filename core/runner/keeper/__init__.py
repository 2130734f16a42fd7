"""Keepers: the processes that own, capture and end what a slot runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.keeper.redaction import Redaction
from runner.keeper.sweep import left_behind, sweep

if TYPE_CHECKING:
    from runner.keeper.client import CaptureError, Keeper, KeeperDied, StartError

__all__ = ["CaptureError", "Keeper", "KeeperDied", "Redaction", "StartError", "left_behind", "sweep"]


def __getattr__(name: str) -> object:
    # Commands that only show something redact it, and start no keeper: its client costs them 20 ms.
    if name in __all__:
        from runner.keeper import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
