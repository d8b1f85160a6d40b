"""What can go wrong between a process and its surroundings. Each error carries its facts; its text is for a person."""

from collections.abc import Sequence

from station.contracts.errors import Failure
from station.contracts.problems import Problem


class StationError(Exception):
    """A person's error or a failing surrounding: ends as one clear line, never as a traceback."""


class SettingsError(StationError):
    """One or more settings cannot be used; ``problems`` lists all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"{p.path}: {p.message}" + (f" {p.hint}" if p.hint else "") for p in self.problems]
        super().__init__("settings refused\n  " + "\n  ".join(lines))


class Undecodable(StationError):
    """The bytes are not the message that was expected; ``problem`` says where and why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(f"{problem.message} (at {problem.path or 'the whole body'})")


class Refused(StationError):
    """The other side understood the request and says no; ``failure`` is its answer."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(f"{failure.code}: {failure.detail}")


class Unavailable(StationError):
    """No answer came: nobody listens, the time ran out, or the broker cannot be reached.

    Whether the request was carried out is unknown; asking again is safe where it has an identity.
    """

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)
