"""Keepers: the processes that own, capture and end what a slot runs."""

from __future__ import annotations

from runner.keeper.client import CaptureError, Keeper, KeeperDied, StartError
from runner.keeper.redaction import Redaction
from runner.keeper.sweep import left_behind, sweep

__all__ = ["CaptureError", "Keeper", "KeeperDied", "Redaction", "StartError", "left_behind", "sweep"]
