"""Who asks. Until people can log in a header says so, and it is believed only on a loopback address."""

from typing import Annotated, Any

from litestar import Request
from litestar.params import HeaderParameter

from station.contracts.approvals import Principal
from station.runtime.rpc import Refused, refuse

USER_HEADER = "X-Station-User"
TEAMS_HEADER = "X-Station-Teams"
NAME = "[A-Za-z0-9._@-]{1,128}"
LOCAL_USER = "local"
ANONYMOUS = "anonymous"

UserHeader = Annotated[
    str | None,
    HeaderParameter(
        name=USER_HEADER, pattern=f"^{NAME}$", description="Who asks. Believed on a loopback address only."
    ),
]
TeamsHeader = Annotated[
    str | None,
    HeaderParameter(
        name=TEAMS_HEADER,
        pattern=f"^{NAME}(, ?{NAME})*$",
        max_length=4096,
        description="The asker's teams, with commas between them.",
    ),
]


class Caller(Principal):
    """The principal of one request."""

    proven: bool = True
    """False where the gateway has no way to know who asks: such a caller cannot decide an approval."""

    @property
    def actor(self) -> str:
        return f"user:{self.user}"

    def principal(self) -> Principal:
        """Who decides. Raises Refused (403) when nobody can tell."""
        if not self.proven:
            raise _unproven("Deciding needs to know who decides")
        return Principal(user=self.user, teams=self.teams, auth=self.auth)


class Identity:
    """Establishes callers from headers, or refuses to."""

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted

    def caller(self, x_station_user: UserHeader = None, x_station_teams: TeamsHeader = None) -> Caller:
        """The caller of a request, as a dependency of its handler."""
        teams = tuple(team.strip() for team in x_station_teams.split(",")) if x_station_teams else ()
        user = x_station_user or (LOCAL_USER if self._trusted else ANONYMOUS)
        return Caller(user=user, teams=teams, proven=self._trusted)

    def check(self, request: Request[Any, Any, Any]) -> None:
        """Refuse a claim that cannot be believed: it must never look as if it had been."""
        if not self._trusted and (USER_HEADER in request.headers or TEAMS_HEADER in request.headers):
            raise _unproven(f"{USER_HEADER} and {TEAMS_HEADER} are not believed here")


def _unproven(what: str) -> Refused:
    detail = (
        f"{what}, and this gateway listens on an address that other machines reach, where a header proves nothing. "
        "Ask through a gateway on 127.0.0.1 (STATION_HTTP_HOST), or leave the header out."
    )
    return refuse(403, "identity_unproven", detail)
