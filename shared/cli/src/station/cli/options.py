"""The options that every command which talks to Station has, added to its signature in one place."""

import getpass
import inspect
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from station.cli.output import Format, Output

if TYPE_CHECKING:
    from station.cli.client import Api

DEFAULT_URL = "http://127.0.0.1:8585"

UrlOption = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="STATION_API_URL",
        help="Where Station answers (default: where the one of STATION_DATA_DIR does, else as STATION_HTTP_PORT says).",
        rich_help_panel="Connection",
    ),
]
UserOption = Annotated[
    str,
    typer.Option("--user", envvar="STATION_USER", help="Who you are (default: $USER).", rich_help_panel="Connection"),
]
TeamOption = Annotated[
    list[str] | None,
    typer.Option("--team", envvar="STATION_TEAMS", help="A team you are in; repeatable.", rich_help_panel="Connection"),
]
OutputOption = Annotated[
    Format, typer.Option("--output", "-o", help="For people or for programs.", rich_help_panel="Connection")
]


class Session:
    """What a command works with: the API as one user, and where its answer goes."""

    def __init__(self, api: "Api", out: Output) -> None:
        self.api = api
        self.out = out


def connected(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give ``command`` a Session as its first argument, and --url, --user, --team and --output as options."""

    def wrapper(**arguments: Any) -> Any:
        from station.cli.client import Api

        url, user, teams = arguments.pop("url"), arguments.pop("user"), arguments.pop("team")
        given = tuple(name for team in teams or () for name in team.split(",") if name)
        api = Api(url or default_url(), user or default_user(), given, user_is_guessed=not user)
        try:
            return command(Session(api, Output(arguments.pop("output"))), **arguments)
        finally:
            api.close()

    signature = inspect.signature(command, eval_str=True)
    own = list(signature.parameters.values())[1:]
    added = [
        _option("url", UrlOption, ""),
        _option("user", UserOption, ""),
        _option("team", TeamOption, None),
        _option("output", OutputOption, Format.TABLE),
    ]
    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    parameters = [*keyword_only, *added]
    wrapper.__name__ = command.__name__
    wrapper.__doc__ = command.__doc__
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapper.__signature__ = signature.replace(parameters=parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return wrapper


def default_url() -> str:
    """Where the Station of the data directory answers; when none runs there, where `stn up` would start one."""
    from station.cli.supervisor import settings
    from station.cli.supervisor.system import running

    local = settings.load()
    state = running(local.data_dir)
    return state.url if state is not None and state.url else local.url


def default_user() -> str:
    """The name at this machine."""
    try:
        return os.environ.get("USER") or getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _option(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
