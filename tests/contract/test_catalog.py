"""The table of messages is complete, and agrees with the subjects, the streams and the broker's rights."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import Any, get_args, get_type_hints

import msgspec
import pytest

import station.core
from station.approval_service.inbox import Inbox
from station.contracts import catalog, subjects
from station.contracts.alone import AloneLine, RunAlone
from station.contracts.catalog import CATALOG, MESSAGES, Exchange, Kind
from station.contracts.events import EVENT_TYPES
from station.contracts.wire import Record, Wire
from station.runtime.broker import RIGHTS
from station.scheduler.endpoints import Answerers, endpoints
from tests.support.served import disagreements

TOKENS = {
    "run_id": "{runId}",
    "step_id": "{stepId}",
    "signal_id": "{signalId}",
    "attempt": "{attempt}",
    "service": "{service}",
}
BY_SUBJECT = {exchange.subject: exchange for exchange in CATALOG}
TEXTS = {name: value for name, value in vars(subjects).items() if isinstance(value, str) and value.startswith("wf.")}
STREAMS = {Kind.TASK: subjects.TASKS_SUBJECTS, Kind.EVENT: subjects.EVENTS_SUBJECTS}


def matches(subject: str, wide: str) -> bool:
    """Whether NATS would give a message of this subject to a subscription with this wide subject."""
    tokens, wanted = subject.split("."), wide.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        return len(tokens) > len(wanted) and all(map(same, tokens, wanted))
    return len(tokens) == len(wanted) and all(map(same, tokens, wanted))


def allowed(subject: str, filters: tuple[str, ...]) -> bool:
    return any(matches(subject, one) for one in filters)


def same(token: str, wanted: str) -> bool:
    return wanted in {"*", token}


def made(function: Any) -> set[str]:
    """Every subject that a function of ``subjects`` can make, with names in braces for what varies."""
    hints = get_type_hints(function)
    arguments = {name: TOKENS[name] for name in inspect.signature(function).parameters}
    absent = {name: None for name in arguments if NoneType in get_args(hints[name])}
    found: set[str] = set()
    for chosen in (arguments, arguments | absent):
        result = function(**chosen)
        found |= {result} if isinstance(result, str) else set(result)
    return found


def functions() -> list[Any]:
    return [
        value
        for name, value in inspect.getmembers(subjects, inspect.isfunction)
        if get_type_hints(value)["return"] is not bool
    ]


def test_every_subject_that_is_a_constant_is_in_the_catalog() -> None:
    exact = {text for text in TEXTS.values() if not set(text) & {"*", ">"}}
    requests = {exchange.subject for exchange in CATALOG if exchange.kind is Kind.REQUEST}
    assert exact == requests


def test_every_subject_that_a_function_makes_is_in_the_catalog() -> None:
    made_subjects = {subject for function in functions() for subject in made(function)}
    exact = {subject for subject in made_subjects if "*" not in subject}
    assert exact == {exchange.subject for exchange in CATALOG if exchange.kind is not Kind.REQUEST}
    for wide in made_subjects - exact:
        assert any(matches(subject, wide) for subject in BY_SUBJECT)


def test_every_filter_lets_something_of_the_catalog_through() -> None:
    filters = [text for text in TEXTS.values() if set(text) & {"*", ">"}]
    assert filters
    for wide in filters:
        assert any(matches(subject, wide) for subject in BY_SUBJECT), wide


def test_no_subject_is_there_twice_and_no_two_are_alike() -> None:
    assert len(BY_SUBJECT) == len(CATALOG)


def test_what_is_stored_is_stored_in_one_stream_and_nothing_else_is() -> None:
    for exchange in CATALOG:
        for kind, stored in STREAMS.items():
            assert allowed(exchange.subject, stored) is (exchange.kind is kind)


def test_requests_have_an_answer_and_nothing_else_has() -> None:
    for exchange in CATALOG:
        assert (exchange.answer is not None) is (exchange.kind is Kind.REQUEST), exchange.subject
        assert exchange.senders
        assert exchange.takers
        assert exchange.summary.endswith(".")


def test_each_event_type_belongs_to_one_subject() -> None:
    told = [name for exchange in CATALOG for name in exchange.event_types]
    assert sorted(told) == sorted(EVENT_TYPES)
    assert all(bool(exchange.event_types) is (exchange.kind is Kind.EVENT) for exchange in CATALOG)


def test_the_core_tells_the_events_of_a_run_without_a_step_and_all_others_with_one() -> None:
    names = {kind.__name__: name for name, kind in EVENT_TYPES.items()}
    told = {(names[kind], with_step) for kind, with_step in emitted() if kind in names}
    about_runs = {name for name, with_step in told if not with_step}
    assert about_runs == set(catalog.RUN_EVENTS) - {"run_created"}  # the first event is there before the core decides
    assert not about_runs & {name for name, with_step in told if with_step}


def emitted() -> Iterator[tuple[str, bool]]:
    """What the source of the core emits: the name of each event's class, and whether a step is given with it."""
    for path in Path(*station.core.__path__).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="emit"), args=[ast.Call(func=ast.Name(id=kind)), *rest]):
                    yield kind, bool(rest) or any(keyword.arg == "step_id" for keyword in node.keywords)
                case _:
                    pass


def test_each_type_that_is_not_part_of_another_is_a_message() -> None:
    """A struct of the contracts that nobody sends, and that is inside nothing that is sent, is dead."""
    reachable: set[type] = set()
    # Those of `alone` go through pipes, not over the bus.
    for message in (*MESSAGES, *EVENT_TYPES.values(), RunAlone, AloneLine):
        _reach(message, reachable)
    inside_only = {"Event", "KeywordOnly"}
    unused = {
        kind.__name__
        for base in (Wire, Record)
        for kind in _descendants(base)
        if kind not in reachable
        and kind.__name__ not in inside_only
        and kind.__module__.startswith("station.contracts")
    }
    assert unused == set()


def _descendants(base: type) -> set[type]:
    children = set(base.__subclasses__())
    return children | {deeper for child in children for deeper in _descendants(child)}


def _reach(kind: Any, reached: set[type]) -> None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in reached:
        reached.update((kind, *kind.__bases__))
        for hint in get_type_hints(kind).values():
            _reach(hint, reached)
    for argument in get_args(kind):
        _reach(argument, reached)


@pytest.mark.parametrize("exchange", CATALOG, ids=lambda exchange: exchange.subject)
def test_the_broker_lets_senders_send_and_takers_take(exchange: Exchange) -> None:
    may_send = {user for user, rights in RIGHTS.items() if allowed(exchange.subject, rights.publish)}
    assert may_send >= set(exchange.senders)
    if exchange.kind is not Kind.TASK:  # tasks are fetched through a consumer
        may_take = {user for user, rights in RIGHTS.items() if allowed(exchange.subject, rights.subscribe)}
        assert may_take >= set(exchange.takers)


@pytest.mark.parametrize("exchange", CATALOG, ids=lambda exchange: exchange.subject)
def test_the_broker_lets_nobody_else_send_what_has_one_sender(exchange: Exchange) -> None:
    may_send = {user for user, rights in RIGHTS.items() if allowed(exchange.subject, rights.publish)}
    assert len(exchange.senders) > 1 or may_send == set(exchange.senders)


def test_the_scheduler_answers_as_the_catalog_says() -> None:
    by = SimpleNamespace(**get_type_hints(Answerers))  # the classes stand for what would be made of them
    assert disagreements(endpoints(by), catalog.SCHEDULER) == []  # type: ignore[arg-type]


def test_approval_service_answers_as_the_catalog_says() -> None:
    served = Inbox(None).endpoints()  # type: ignore[arg-type]  # nothing is asked of it here
    assert disagreements(served, catalog.APPROVALS) == []
