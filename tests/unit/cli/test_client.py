"""The API client: what it sends, what it repeats, and how it words what goes wrong."""

from collections.abc import Callable

import httpx
import msgspec
import pytest

from station.cli import client, errors
from station.cli.client import Api
from station.cli.errors import CommandError, RefusedRequest, Unreachable
from station.contracts.runs import SignalAccepted

ACCEPTED = msgspec.json.encode(SignalAccepted(run_id="run_1", id="sig_1", name="go"))


class Server:
    """Answers in order, the last answer for ever, and keeps the requests."""

    def __init__(self, *answers: httpx.Response | Callable[[httpx.Request], httpx.Response]) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def api(self, *teams: str, user: str = "alice", guessed: bool = False) -> Api:
        transport = httpx.MockTransport(self)
        return Api("http://station:1/", user, teams, user_is_guessed=guessed, transport=transport)


def problem(status: int, code: str, detail: str = "no", **more: object) -> httpx.Response:
    return httpx.Response(
        status, json={"type": "x", "title": "X", "status": status, "code": code, "detail": detail} | more
    )


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("station.cli.client.time.sleep", slept.append)
    return slept


def test_a_command_carries_who_what_and_a_key() -> None:
    server = Server(httpx.Response(202, content=ACCEPTED))
    answer = server.api("sre", "web").post("/workflow-runs/run_1/signals", SignalAccepted, {"name": "go"})
    assert answer == SignalAccepted(run_id="run_1", id="sig_1", name="go")
    (request,) = server.requests
    assert str(request.url) == "http://station:1/api/v1/workflow-runs/run_1/signals"
    assert request.headers["x-station-user"] == "alice"
    assert request.headers["x-station-teams"] == "sre,web"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["idempotency-key"]
    assert request.content == b'{"name":"go"}'


def test_parameters_without_a_value_are_left_out() -> None:
    server = Server(httpx.Response(200, json=[]))
    server.api().get("/workflow-runs", list, {"status": None, "limit": 5})
    assert server.requests[0].url.query == b"limit=5"


def test_a_busy_station_is_asked_again_with_the_same_key(pauses: list[float]) -> None:
    busy = httpx.Response(503, headers={"retry-after": "2"}, json={"code": "scheduler_unavailable", "detail": "busy"})
    server = Server(busy, busy, httpx.Response(202, content=ACCEPTED))
    server.api().post("/x", SignalAccepted)
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert len(server.requests) == 3
    assert pauses == [2.0, 2.0]


def test_patience_with_a_busy_station_ends() -> None:
    server = Server(problem(503, "scheduler_unavailable", "the scheduler does not answer"))
    with pytest.raises(RefusedRequest) as refused:
        server.api().get("/x", dict)
    assert len(server.requests) == client.ATTEMPTS
    assert refused.value.code == "scheduler_unavailable"


def test_a_document_without_a_key_is_never_sent_twice() -> None:
    server = Server(problem(503, "scheduler_unavailable"))
    with pytest.raises(RefusedRequest):
        server.api().send_document("POST", "/workflows", dict, b"id: x", "application/yaml")
    assert len(server.requests) == 1


def test_a_refusal_keeps_every_problem() -> None:
    wrong = {"code": "unknown_field", "path": "/states/0/nxt", "message": "unknown", "hint": "next?"}
    server = Server(problem(400, "definition_invalid", "2 problems", errors=[wrong]))
    with pytest.raises(RefusedRequest) as refused:
        server.api().post("/workflows", dict)
    error = refused.value
    assert (error.status, error.code, error.exit_code) == (400, "definition_invalid", errors.FAILED)
    assert "2 problems" in error.what
    assert error.where == "POST /api/v1/workflows"
    assert error.errors[0].path == "/states/0/nxt"


def test_a_refusal_that_is_no_problem_document_is_shown_as_it_is() -> None:
    server = Server(httpx.Response(502, text="<html>bad gateway</html>"))
    with pytest.raises(RefusedRequest) as refused:
        server.api().get("/x", dict)
    assert "bad gateway" in refused.value.detail


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "connection refused"),
        (httpx.ReadTimeout("timed out"), "no answer in time"),
    ],
)
def test_nobody_answers(failure: httpx.TransportError, words: str) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(Unreachable) as error:
        Server(fail).api().get("/x", dict)
    assert error.value.what == f"no Station answers at http://station:1 ({words})"
    assert "stn up" in (error.value.todo or "")
    assert error.value.exit_code == errors.UNREACHABLE


def test_an_answer_of_another_program_is_said_to_be_one() -> None:
    with pytest.raises(CommandError) as error:
        Server(httpx.Response(200, text="hello")).api().get("/workflows", dict)
    assert "not one of Station's" in error.value.what


def test_a_guessed_name_is_left_out_where_names_are_not_believed() -> None:
    def believes_nobody(request: httpx.Request) -> httpx.Response:
        return (
            problem(403, "identity_unproven") if "x-station-user" in request.headers else httpx.Response(200, json={})
        )

    server = Server(believes_nobody)
    api = server.api(guessed=True)
    assert api.get("/x", dict) == {}
    assert api.get("/x", dict) == {}
    assert ["x-station-user" in request.headers for request in server.requests] == [True, False, False]


def test_a_given_name_is_never_left_out() -> None:
    server = Server(problem(403, "identity_unproven"))
    with pytest.raises(RefusedRequest):
        server.api(guessed=False).get("/x", dict)
    assert len(server.requests) == 1


def test_a_name_that_no_header_can_carry_is_refused_here() -> None:
    with pytest.raises(CommandError) as error:
        Api("http://station:1", "zoë")
    assert error.value.exit_code == errors.USAGE


@pytest.mark.parametrize("url", ["http://[::1", "\x01", "http://a:b"])
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(CommandError, match="is not an address") as error:
        Api(url, "alice").get("/x", dict)
    assert error.value.exit_code == errors.USAGE


@pytest.mark.parametrize("key", ["", "a\nb", "zoë"])
def test_a_key_that_no_header_can_carry_is_refused_here(key: str) -> None:
    server = Server(httpx.Response(202, content=ACCEPTED))
    with pytest.raises(CommandError, match="idempotency key"):
        server.api().post("/x", SignalAccepted, key=key)
    assert not server.requests


def test_a_stream_goes_on_after_the_event_that_was_seen() -> None:
    server = Server(httpx.Response(200, text="id: 8\nevent: run_paused\ndata: {}\n\n"))
    with server.api().stream("/workflow-runs/run_1/stream", 7) as lines:
        assert list(lines) == ["id: 8", "event: run_paused", "data: {}", ""]
    assert server.requests[0].headers["last-event-id"] == "7"
    with pytest.raises(RefusedRequest), Server(problem(404, "run_not_found")).api().stream("/x", 0):
        pass
