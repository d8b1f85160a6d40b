"""Health and doctor: what the services say of themselves and of the store."""

from typing import Any

from station.contracts.bounds import Count
from station.contracts.wire import Wire


class GetHealth(Wire):
    pass


class Health(Wire):
    service: str
    ready: bool
    detail: str | None = None
    facts: dict[str, Any] = {}
    """Figures such as outbox depth, open runs, queue age."""


class ServiceStarted(Wire):
    """On ``wf.control.started.<service>``: requests under way to these subjects get no answer; send them again."""

    service: str
    subjects: tuple[str, ...]


class RunDoctor(Wire):
    limit: Count = 1000
    """How many of the newest runs are folded and compared."""


class Finding(Wire):
    check: str
    subject: str
    detail: str


class DoctorReport(Wire):
    checked_runs: int
    checked_events: int
    findings: tuple[Finding, ...]
    dead_letters: tuple[Finding, ...] = ()
