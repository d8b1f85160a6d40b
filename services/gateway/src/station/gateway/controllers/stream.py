"""The live events of one run, as server-sent events."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response import Stream

from station.gateway.injected import Id, Streams
from station.gateway.problem_document import problems

LastEventId = Annotated[
    str | None,
    HeaderParameter(
        name="Last-Event-ID",
        pattern="^[0-9]{1,15}$",
        description="The last `id` that was read: the stream goes on from there.",
    ),
]
WithProgress = Annotated[bool, QueryParameter(description="Whether `agent_progress` is among the events.")]
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class RunStream(Controller):
    path = "/workflow-runs"
    tags = ["Runs"]

    @get(
        "/{run_id:str}/stream",
        operation_id="streamRun",
        summary="Follow a run",
        description=(
            "Begins with one `snapshot` (the run), then every event with its seq as `id`; ends with the run. "
            "In between comes `agent_progress`, without an `id`: what agents say and which tools they call "
            "(`AgentProgress` of the contracts). It is told once and stored nowhere: who reads slowly misses some."
        ),
        media_type="text/event-stream",
        responses=problems(404),
    )
    async def stream(
        self, *, run_id: Id, streams: Streams, last_event_id: LastEventId = None, progress: WithProgress = True
    ) -> Stream:
        after = None if last_event_id is None else int(last_event_id)
        frames = await streams.open(run_id, after, progress=progress)
        return Stream(frames, media_type="text/event-stream", headers=_HEADERS)
