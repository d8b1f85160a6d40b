"""What a person or a program does with a Station over HTTP, and waiting for what comes of it, by its event stream."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx

from tests.support.event_stream import Frame, frames_of, until

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
PATIENCE = 30.0
_POLL_SECONDS = 0.05


class Driver:
    """Speaks to ``api``, a client whose base is ``…/api/v1``. What is not refused must succeed, or it says why."""

    def __init__(self, api: httpx.Client) -> None:
        self.api = api

    # Definitions and agents

    def apply(self, text: str) -> dict[str, Any]:
        """Store a definition, as a new workflow or as a new revision; the workflow."""
        headers = {"content-type": "application/yaml"}
        answer = self.api.post("/workflows", content=text, headers=headers)
        if answer.status_code == 409:
            answer = self.api.put(f"/workflows/{_id_of(text)}", content=text, headers=headers)
        return ok(answer)

    def wait_agent(self, name: str, *, environment: str = "test", known: Callable[[Any], bool] | None = None) -> None:
        """Return when the agent is known, and is as wanted."""
        self._until(f"/agents/{name}?environment={environment}", known or (lambda _agent: True))

    def wait_workflow(self, identity: str, known: Callable[[Any], bool] | None = None) -> dict[str, Any]:
        """Return when the workflow of a file is known, and is as wanted."""
        return self._until(f"/workflows/{identity}", known or (lambda _workflow: True))

    # Runs

    def start_run(
        self, workflow: str, input: dict[str, Any] | None = None, *, environment: str | None = "test", **more: Any
    ) -> str:
        """Start a run; its id."""
        return ok(self.post_run(workflow, input, environment=environment, **more))["id"]

    def post_run(
        self,
        workflow: str,
        input: dict[str, Any] | None = None,
        *,
        environment: str | None = "test",
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Ask for a run; the answer, whatever it is."""
        body = {"workflowId": workflow, "input": input or {}, **more}
        if environment is not None:
            body["environment"] = environment
        return self.api.post("/workflow-runs", json=body, headers=headers)

    def run(self, run_id: str) -> dict[str, Any]:
        return ok(self.api.get(f"/workflow-runs/{run_id}"))

    def wait_run(self, run_id: str) -> dict[str, Any]:
        """Return when there is such a run: another system has asked for it."""
        return self._until(f"/workflow-runs/{run_id}", lambda _run: True)

    def finish(self, run_id: str, status: str = "COMPLETED", timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for a run's end, which must be this one; the run."""
        run = self.wait_status(run_id, ENDED, timeout)
        assert run["status"] == status, f"{run_id} ended {run['status']}, not {status}: {run['error']}"
        return run

    def wait_status(self, run_id: str, statuses: str | Sequence[str], timeout: float = PATIENCE) -> dict[str, Any]:
        """Follow a run's events until it has one of these statuses; the run as it is then."""
        wanted = (statuses,) if isinstance(statuses, str) else tuple(statuses)
        return self._follow_until(run_id, lambda run: run["status"] in wanted, f"status {' or '.join(wanted)}", timeout)

    def wait_event(
        self, run_id: str, event: str, where: Callable[[Any], bool] | None = None, timeout: float = PATIENCE
    ) -> dict[str, Any]:
        """Follow a run's events until there is such a one; the event."""
        deadline = time.monotonic() + timeout
        seen: list[str] = []
        for frame in self.follow(run_id, last_event_id=0, deadline=deadline):
            if frame.event == event and (where is None or where(frame.data)):
                return frame.data
            seen.append(str(frame.event))
        raise AssertionError(f"{run_id} had no {event} within {timeout} s, or ended before; seen: {seen}")

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """Every attempt of every step, in order."""
        return self.all_pages(f"/workflow-runs/{run_id}/steps")

    def step(self, run_id: str, state: str) -> dict[str, Any]:
        """The newest attempt of the only step of a state."""
        found = [step for step in self.steps(run_id) if step["stateName"] == state]
        assert found, f"no step {state!r} in {[step['stateName'] for step in self.steps(run_id)]}"
        assert len({step["stepId"] for step in found}) == 1, f"there are several steps of {state!r}"
        return max(found, key=lambda step: step["attempt"])

    def events(self, run_id: str, kind: str | None = None) -> list[dict[str, Any]]:
        """All events of a run, or those of one type, in order."""
        return self.all_pages(f"/workflow-runs/{run_id}/events", **({"type": kind} if kind else {}))

    def control(self, run_id: str, command: str, **body: Any) -> httpx.Response:
        """Pause, resume or cancel; the answer, whatever it is."""
        return self.api.post(f"/workflow-runs/{run_id}/{command}", json=body)

    def signal(self, run_id: str, name: str, payload: Any = None, **more: Any) -> httpx.Response:
        return self.api.post(f"/workflow-runs/{run_id}/signals", json={"name": name, "payload": payload, **more})

    # Approvals

    def approvals(self, run_id: str) -> list[dict[str, Any]]:
        return self.all_pages(f"/workflow-runs/{run_id}/approvals")

    def wait_approval(self, run_id: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Follow a run until somebody is asked; that approval."""
        event = self.wait_event(run_id, "approval_requested", timeout=timeout)
        return next(found for found in self.approvals(run_id) if found["id"] == event["data"]["approvalId"])

    def approve(self, run_id: str, approval_id: str, user: str = "alice", **more: Any) -> httpx.Response:
        return self.decide(run_id, approval_id, "approve", user, **more)

    def reject(self, run_id: str, approval_id: str, user: str = "alice", **more: Any) -> httpx.Response:
        return self.decide(run_id, approval_id, "reject", user, **more)

    def decide(
        self, run_id: str, approval_id: str, decision: str, user: str = "alice", teams: str | None = None, **body: Any
    ) -> httpx.Response:
        """Say yes or no as somebody; the answer, whatever it is."""
        headers = {"x-station-user": user} | ({"x-station-teams": teams} if teams else {})
        path = f"/workflow-runs/{run_id}/approvals/{approval_id}/{decision}"
        return self.api.post(path, json=body, headers=headers)

    # Streams and lists

    def follow(
        self, run_id: str, *, last_event_id: int | None = None, deadline: float | None = None
    ) -> Iterator[Frame]:
        """The frames of a run's stream until it ends, without comments. A connection that breaks is taken up again."""
        deadline = deadline or time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                for frame in self.stream(run_id, last_event_id=last_event_id, deadline=deadline):
                    last_event_id = int(frame.id) if frame.id else last_event_id
                    yield frame
            except httpx.TransportError:
                time.sleep(_POLL_SECONDS)
            else:
                return

    def stream(
        self,
        run_id: str,
        *,
        last_event_id: int | None = None,
        deadline: float | None = None,
        progress: bool = False,
    ) -> Iterator[Frame]:
        """The frames of one connection, without comments. Raises httpx.TransportError when it breaks."""
        headers = {} if last_event_id is None else {"last-event-id": str(last_event_id)}
        deadline = deadline or time.monotonic() + PATIENCE
        wait = max(deadline - time.monotonic(), 0.1)
        path = f"/workflow-runs/{run_id}/stream?progress={str(progress).lower()}"
        with self.api.stream("GET", path, headers=headers, timeout=httpx.Timeout(5, read=wait)) as answer:
            if answer.status_code in {502, 503}:
                raise httpx.ReadError("not available now")
            if answer.status_code != 200:
                answer.read()
                ok(answer)
            yield from frames_of(until(deadline, answer.iter_lines()))

    def all_pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Every item of a list, page by page."""
        items: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = ok(self.api.get(path, params={**query, **({"cursor": cursor} if cursor else {})}))
            items += page["items"]
            cursor = page["nextCursor"]
            if cursor is None:
                return items

    def _follow_until(
        self, run_id: str, wanted: Callable[[dict[str, Any]], bool], what: str, timeout: float
    ) -> dict[str, Any]:
        """The events say when to look; what is looked at is the run."""
        deadline = time.monotonic() + timeout
        run = None
        for frame in self.follow(run_id, deadline=deadline):
            run = frame.data if frame.event == "snapshot" else self._run_or_none(run_id) or run
            if run is not None and wanted(run):
                return run
        run = self.run(run_id)
        if wanted(run):
            return run
        raise AssertionError(f"{run_id} is {run['status']} ({run['waitingFor']}, {run['error']}), not {what}")

    def _run_or_none(self, run_id: str) -> dict[str, Any] | None:
        try:
            answer = self.api.get(f"/workflow-runs/{run_id}")
        except httpx.TransportError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def _until(self, path: str, wanted: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.api.get(path)
            if answer.status_code == 200 and wanted(answer.json()):
                return answer.json()
            assert time.monotonic() < deadline, f"{path} is not as wanted: {answer.text}"
            time.sleep(_POLL_SECONDS)


def ok(answer: httpx.Response) -> Any:
    """The JSON of an answer that must not be a refusal."""
    assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None


def _id_of(text: str) -> str:
    line = next(line for line in text.splitlines() if line.startswith("id:"))
    return line.removeprefix("id:").split("#")[0].strip().strip("\"'")
