"""Faults for real processes: killed and stopped workers, wrong clocks, full disks, damaged and locked stores.

Everything here happens to programs that the caller started; nothing is patched inside them.
"""

from runner.testing.faults.clock import skewed
from runner.testing.faults.crew import WORK, Crew, Member, Torment, pids_with
from runner.testing.faults.damage import damage_header, damage_pages, set_version, truncate
from runner.testing.faults.disk import SmallDisk
from runner.testing.faults.locks import holds_write_lock, stop_in_write, wait_stopped
from runner.testing.faults.privilege import without_override

__all__ = [
    "WORK",
    "Crew",
    "Member",
    "SmallDisk",
    "Torment",
    "damage_header",
    "damage_pages",
    "holds_write_lock",
    "pids_with",
    "set_version",
    "skewed",
    "stop_in_write",
    "truncate",
    "wait_stopped",
    "without_override",
]
