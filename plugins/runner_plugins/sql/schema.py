"""The tables, written once: `{serial}`, `{real}` and `{big}` are filled in by the backend."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
"""The schema version this release reads and writes."""

TABLES: Final = (
    """CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)""",
    """CREATE TABLE lanes (
        id {serial}, project TEXT NOT NULL, machine TEXT NOT NULL, type TEXT NOT NULL,
        account TEXT NOT NULL, requires TEXT NOT NULL,
        UNIQUE (project, machine, type, account, requires))""",
    """CREATE TABLE tasks (
        seq {serial}, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, unit TEXT, type TEXT NOT NULL,
        status TEXT NOT NULL, outcome TEXT, lane {big} NOT NULL, rank {real} NOT NULL, priority INTEGER NOT NULL,
        payload TEXT NOT NULL, spec TEXT NOT NULL, machine TEXT, agent TEXT, account TEXT, requires TEXT NOT NULL,
        key TEXT, key_forever INTEGER NOT NULL, digest TEXT, limit_key TEXT,
        epoch INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0, attempts_max INTEGER NOT NULL,
        interruptions INTEGER NOT NULL DEFAULT 0, interruptions_max INTEGER NOT NULL,
        not_before {real}, blocked_by TEXT, cancel INTEGER NOT NULL DEFAULT 0,
        question TEXT, answer TEXT, result TEXT, publish TEXT, home TEXT, unit_epoch INTEGER NOT NULL DEFAULT 0,
        children INTEGER NOT NULL DEFAULT 0,
        submitted_by TEXT NOT NULL, created_at {real} NOT NULL, started_at {real}, finished_at {real})""",
    # The claim takes the head of one lane; the status is a literal so that the planner can use the index.
    """CREATE INDEX tasks_claim ON tasks (lane, rank, seq) WHERE status = 'pending'""",
    """CREATE INDEX tasks_due ON tasks (not_before) WHERE status = 'scheduled'""",
    """CREATE INDEX tasks_open ON tasks (status, seq) WHERE status NOT IN ('done', 'failed', 'cancelled')""",
    """CREATE INDEX tasks_closed ON tasks (status, finished_at) WHERE status IN ('done', 'failed', 'cancelled')""",
    """CREATE UNIQUE INDEX tasks_key ON tasks (project, key)
        WHERE key IS NOT NULL AND status NOT IN ('done', 'failed', 'cancelled')""",
    """CREATE INDEX tasks_key_forever ON tasks (project, key) WHERE key IS NOT NULL""",
    """CREATE INDEX tasks_unit_open ON tasks (unit, status, rank)
        WHERE unit IS NOT NULL AND status NOT IN ('done', 'failed', 'cancelled')""",
    """CREATE INDEX tasks_limit_open ON tasks (limit_key, status, rank)
        WHERE limit_key IS NOT NULL AND status NOT IN ('done', 'failed', 'cancelled')""",
    """CREATE INDEX tasks_publish ON tasks (seq) WHERE publish IS NOT NULL""",
    """CREATE TABLE claims (
        id TEXT PRIMARY KEY, epoch INTEGER NOT NULL, worker TEXT NOT NULL, machine TEXT NOT NULL, host TEXT NOT NULL,
        project TEXT NOT NULL, type TEXT NOT NULL, account TEXT NOT NULL,
        lease_until {real} NOT NULL, lease {real} NOT NULL, boot TEXT NOT NULL, since {real} NOT NULL)""",
    """CREATE TABLE limits (project TEXT NOT NULL, name TEXT NOT NULL, most INTEGER NOT NULL,
        PRIMARY KEY (project, name))""",
    """CREATE TABLE accounts (project TEXT NOT NULL, name TEXT NOT NULL, parked_until {real} NOT NULL,
        reason TEXT NOT NULL, PRIMARY KEY (project, name))""",
    """CREATE TABLE deps (child {big} NOT NULL, parent {big} NOT NULL, met INTEGER NOT NULL,
        PRIMARY KEY (child, parent))""",
    """CREATE INDEX deps_parent ON deps (parent, child) WHERE met = 0""",
    """CREATE INDEX deps_of ON deps (parent)""",
    """CREATE TABLE outbox (parent {big} PRIMARY KEY)""",
    """CREATE TABLE attempts (
        task TEXT NOT NULL, n INTEGER NOT NULL, step TEXT NOT NULL, epoch INTEGER NOT NULL, agent TEXT,
        worker TEXT NOT NULL, repair INTEGER NOT NULL, started_at {real} NOT NULL, ended_at {real}, outcome TEXT,
        result TEXT, late TEXT, PRIMARY KEY (task, n))""",
    """CREATE TABLE events (
        id {serial}, at {real} NOT NULL, kind TEXT NOT NULL, task TEXT, epoch INTEGER,
        who TEXT NOT NULL, data TEXT NOT NULL)""",
    """CREATE INDEX events_task ON events (task, id)""",
    """CREATE TABLE requests (id TEXT PRIMARY KEY, at {real} NOT NULL, answer TEXT NOT NULL)""",
    """CREATE INDEX requests_at ON requests (at)""",
    """CREATE TABLE workers (
        id TEXT PRIMARY KEY, machine TEXT NOT NULL, host TEXT NOT NULL, project TEXT NOT NULL,
        data TEXT NOT NULL, seen {real} NOT NULL, boot TEXT NOT NULL)""",
    """CREATE TABLE units (
        id TEXT NOT NULL, project TEXT NOT NULL, status TEXT NOT NULL, epoch INTEGER NOT NULL DEFAULT 0,
        parallel INTEGER NOT NULL DEFAULT 0, home TEXT, data TEXT NOT NULL, PRIMARY KEY (id))""",
    """CREATE TABLE streams (name TEXT PRIMARY KEY, head {big} NOT NULL)""",
    """CREATE TABLE messages (
        stream TEXT NOT NULL, position {big} NOT NULL, at {real} NOT NULL, who TEXT NOT NULL, body TEXT NOT NULL,
        PRIMARY KEY (stream, position))""",
    """CREATE TABLE artifacts (
        ref TEXT PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, size {big} NOT NULL, sha256 TEXT NOT NULL,
        project TEXT NOT NULL, unit TEXT, task TEXT, step TEXT, attempt INTEGER, epoch INTEGER,
        who TEXT NOT NULL, created_at {real} NOT NULL)""",
    """CREATE INDEX artifacts_task ON artifacts (task)""",
    """CREATE INDEX artifacts_unit ON artifacts (unit)""",
    """CREATE TABLE records (
        kind TEXT NOT NULL, id TEXT NOT NULL, project TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (kind, id))""",
)
