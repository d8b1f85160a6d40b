"""The live events of one run, as server-sent events."""

from typing import Annotated

from litestar import Controller, get
from litestar.params import HeaderParameter
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
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class RunStream(Controller):
    path = "/workflow-runs"
    tags = ["Runs"]

    @get(
        "/{run_id:str}/stream",
        operation_id="streamRun",
        summary="Follow a run",
        description="Begins with one `snapshot` (the run), then every event with its seq as `id`; ends with the run.",
        media_type="text/event-stream",
        responses=problems(404),
    )
    async def stream(self, run_id: Id, streams: Streams, last_event_id: LastEventId = None) -> Stream:
        frames = await streams.open(run_id, None if last_event_id is None else int(last_event_id))
        return Stream(frames, media_type="text/event-stream", headers=_HEADERS)
