"""Every text survives the way into PostgreSQL and back, alone and in bulk; the few it can't hold are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import LimitReached
from runner.store import AppendEvent, TaskFilter
from runner.testing.conformance.actors import add, do, hire, new_task, read, settle, start, submit, take
from runner_plugins import postgres_store
from runner_plugins.postgres import events

if TYPE_CHECKING:
    from collections.abc import Iterator

NASTY = (
    "",
    "NULL",
    "null",
    "{}",
    "{a,b}",
    'quo"te',
    "apos'trophe",
    "back\\slash",
    '\\"',
    "\\",
    "tab\tline\nreturn\r",
    " space ",
    "$1 %s :name {now} IN @ids",
    "ünï – 漢字 🧪",
    "\x01\x7f\u2028",
    "x" * 100_000,
)


@pytest.fixture
def store(postgres_url: str) -> Iterator[Any]:
    store = postgres_store.open_store(postgres_url, {})
    assert store is not None
    yield store
    store.close()


def test_any_text_comes_back_as_it_was(store: Any) -> None:
    for text in NASTY:
        id = add(store, payload={"script": text}, account=text, key=f"k{text[:50]}", by=text)
        task = read(store, id)
        assert (task.payload["script"], task.account or "", task.key) == (text, text, f"k{text[:50]}")
        do(store, AppendEvent(kind="test.text", task=id, by=text, data={"text": text}))
        event = store.queue.events(task=id)[-1]
        assert (event.by, event.data) == (text, {"text": text})


def test_any_text_comes_back_as_it_was_in_bulk(store: Any) -> None:
    submit(store, *(new_task(f"t{n}", payload={"script": text}, by=text) for n, text in enumerate(NASTY)))
    for n, text in enumerate(NASTY):
        assert read(store, f"t{n}").payload["script"] == text
        assert [e.by for e in store.queue.events(task=f"t{n}")] == [text]


def test_numbers_keep_all_their_digits(store: Any) -> None:
    due = 4102444800.123457
    one, *_ = submit(store, *(new_task(not_before=due, priority=-7) for _ in range(6)))
    task = read(store, one.id)
    assert (task.not_before, task.priority) == (due, -7)
    assert task.rank == pytest.approx(task.created_at + 4200, abs=1e-3)


def test_what_postgresql_can_not_hold_is_replaced_and_the_task_is_settled(store: Any) -> None:
    worker = hire(store)
    id = add(store)
    held = take(store, worker)
    start(store, held)
    answer = settle(store, held, "needs_human", question="a\0b \ud800 c", result={"said": "a\0b"})
    assert answer == "needs_human"
    task = read(store, id)
    assert task.question == "a\ufffdb ? c"
    assert task.result == {"said": "a\0b"}  # JSON has an escape for it


def test_an_id_with_a_nul_in_it_is_just_not_there(store: Any) -> None:
    assert store.queue.get("a\0b") is None
    assert store.queue.find(TaskFilter(prefix="a\0")) == []


def test_a_million_events_in_one_commit_are_refused_in_a_sentence(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_BITS", 7)
    with pytest.raises(LimitReached, match="too much at once"):
        submit(store, *(new_task() for _ in range(200)))
    assert store.queue.count(TaskFilter()) == {}
    assert add(store)
