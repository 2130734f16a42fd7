"""Calling agent CLIs: how one is launched, how its output is read, what its end means."""

from __future__ import annotations

from runner.agents.decision import decided, marked
from runner.agents.launch import Launch, MissingVariable, plan
from runner.agents.lines import JsonLines
from runner.agents.outcome import Decision, outcome
from runner.agents.prompt import REPAIR_HEADING, compose
from runner.agents.reader import Reader, ReaderEvent, Summary, TextReader, bind_readers, make_reader

__all__ = [
    "REPAIR_HEADING",
    "Decision",
    "JsonLines",
    "Launch",
    "MissingVariable",
    "Reader",
    "ReaderEvent",
    "Summary",
    "TextReader",
    "bind_readers",
    "compose",
    "decided",
    "make_reader",
    "marked",
    "outcome",
    "plan",
]
