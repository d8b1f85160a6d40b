"""What a person is told when a command cannot do what they asked: what is wrong, where, and what to do."""

from station.contracts.problems import Problem

FAILED = 1
USAGE = 2
CANCELLED = 3
TIMED_OUT = 4
WAITS_FOR_A_PERSON = 5
UNREACHABLE = 6
INTERRUPTED = 130


class CommandError(Exception):
    """Ends the command with ``exit_code`` after its words were printed to stderr."""

    def __init__(
        self, what: str, *, where: str | None = None, todo: str | None = None, exit_code: int = FAILED
    ) -> None:
        """``where`` and ``todo`` are left out of what is printed when they are None."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo
        self.exit_code = exit_code


class Unreachable(CommandError):
    """No Station answers at the address."""

    def __init__(self, url: str, detail: str) -> None:
        """``detail`` is what the connection said."""
        super().__init__(
            f"no Station answers at {url} ({detail})",
            todo="start one with `stn up`, or name another with --url or STATION_API_URL",
            exit_code=UNREACHABLE,
        )


class RefusedRequest(CommandError):
    """Station answered with a problem document."""

    def __init__(self, *, status: int, code: str, detail: str, request: str, errors: tuple[Problem, ...] = ()) -> None:
        """``request`` is the method and path that was refused."""
        super().__init__(f"{detail} [{status} {code}]", where=request)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
