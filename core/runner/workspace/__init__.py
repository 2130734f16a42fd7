"""Workspaces: git worktrees that never lose work, their snapshots, and the one gate for deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.workspace.base import Base as Base
    from runner.workspace.base import locate as locate
    from runner.workspace.bundles import fetched as fetched
    from runner.workspace.bundles import has_commit as has_commit
    from runner.workspace.bundles import make_bundle as make_bundle
    from runner.workspace.changes import Changes as Changes
    from runner.workspace.changes import State as State
    from runner.workspace.changes import paths_between as paths_between
    from runner.workspace.changes import state_of as state_of
    from runner.workspace.clean import Removal as Removal
    from runner.workspace.clean import plan_clean as plan_clean
    from runner.workspace.clean import remove as remove
    from runner.workspace.kept import Kept as Kept
    from runner.workspace.kept import history as history
    from runner.workspace.kept import list_kept as list_kept
    from runner.workspace.kept import restore as restore
    from runner.workspace.leftout import LeftOut as LeftOut
    from runner.workspace.merging import dirty as dirty
    from runner.workspace.merging import merge_into as merge_into
    from runner.workspace.names import branch_ref as branch_ref
    from runner.workspace.names import check_unit as check_unit
    from runner.workspace.opening import open_workspace as open_workspace
    from runner.workspace.publishing import publish as publish
    from runner.workspace.snapshot import Snapshot as Snapshot
    from runner.workspace.survey import Caps as Caps
    from runner.workspace.workspace import Workspace as Workspace

_HOME = {
    "Base": "base",
    "Caps": "survey",
    "Changes": "changes",
    "Kept": "kept",
    "LeftOut": "leftout",
    "Removal": "clean",
    "Snapshot": "snapshot",
    "State": "changes",
    "Workspace": "workspace",
    "branch_ref": "names",
    "check_unit": "names",
    "dirty": "merging",
    "fetched": "bundles",
    "has_commit": "bundles",
    "history": "kept",
    "list_kept": "kept",
    "locate": "base",
    "make_bundle": "bundles",
    "merge_into": "merging",
    "open_workspace": "opening",
    "paths_between": "changes",
    "plan_clean": "clean",
    "publish": "publishing",
    "remove": "clean",
    "restore": "kept",
    "state_of": "changes",
}

__all__ = [
    "Base",
    "Caps",
    "Changes",
    "Kept",
    "LeftOut",
    "Removal",
    "Snapshot",
    "State",
    "Workspace",
    "branch_ref",
    "check_unit",
    "dirty",
    "fetched",
    "has_commit",
    "history",
    "list_kept",
    "locate",
    "make_bundle",
    "merge_into",
    "open_workspace",
    "paths_between",
    "plan_clean",
    "publish",
    "remove",
    "restore",
    "state_of",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `submit` needs no more than `locate`.
    if name not in _HOME:
        raise AttributeError(f"module 'runner.workspace' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"runner.workspace.{_HOME[name]}"), name)
