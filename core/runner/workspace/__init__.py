"""Workspaces: git worktrees that never lose work, their snapshots, and the one gate for deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.workspace.base import Base as Base
    from runner.workspace.base import locate as locate
    from runner.workspace.bringing import Brought as Brought
    from runner.workspace.bringing import bring_in as bring_in
    from runner.workspace.bringing import too_old as too_old
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
    from runner.workspace.places import owner_of as owner_of
    from runner.workspace.present import present_commit as present_commit
    from runner.workspace.publishing import publish as publish
    from runner.workspace.snapshot import Snapshot as Snapshot
    from runner.workspace.survey import Caps as Caps
    from runner.workspace.unmerged import Unmerged as Unmerged
    from runner.workspace.unmerged import belongs as belongs
    from runner.workspace.unmerged import discard as discard
    from runner.workspace.workspace import Workspace as Workspace

_HOME = {
    "Base": "base",
    "Brought": "bringing",
    "Caps": "survey",
    "Changes": "changes",
    "Kept": "kept",
    "LeftOut": "leftout",
    "Removal": "clean",
    "Snapshot": "snapshot",
    "State": "changes",
    "Unmerged": "unmerged",
    "Workspace": "workspace",
    "belongs": "unmerged",
    "branch_ref": "names",
    "bring_in": "bringing",
    "check_unit": "names",
    "dirty": "merging",
    "discard": "unmerged",
    "fetched": "bundles",
    "has_commit": "bundles",
    "history": "kept",
    "list_kept": "kept",
    "locate": "base",
    "make_bundle": "bundles",
    "merge_into": "merging",
    "open_workspace": "opening",
    "owner_of": "places",
    "paths_between": "changes",
    "plan_clean": "clean",
    "present_commit": "present",
    "publish": "publishing",
    "remove": "clean",
    "restore": "kept",
    "state_of": "changes",
    "too_old": "bringing",
}

__all__ = [
    "Base",
    "Brought",
    "Caps",
    "Changes",
    "Kept",
    "LeftOut",
    "Removal",
    "Snapshot",
    "State",
    "Unmerged",
    "Workspace",
    "belongs",
    "branch_ref",
    "bring_in",
    "check_unit",
    "dirty",
    "discard",
    "fetched",
    "has_commit",
    "history",
    "list_kept",
    "locate",
    "make_bundle",
    "merge_into",
    "open_workspace",
    "owner_of",
    "paths_between",
    "plan_clean",
    "present_commit",
    "publish",
    "remove",
    "restore",
    "state_of",
    "too_old",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: `submit` needs no more than `locate`.
    if name not in _HOME:
        raise AttributeError(f"module 'runner.workspace' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"runner.workspace.{_HOME[name]}"), name)
