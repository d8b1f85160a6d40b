"""One frozen struct per service, read once from the environment. Everything that is wrong is said at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from station.contracts.problems import Problem
from station.runtime import environment
from station.runtime.errors import SettingsError

__all__ = ["SettingsError", "effective", "load"]

T = TypeVar("T", bound=msgspec.Struct)
_USERINFO = re.compile(r"(?<=://)[^/@]+(?=@)")
_SECRET = re.compile(r"(password|secret|token|key)\Z")


def load(struct_type: type[T], environ: Mapping[str, str]) -> T:
    """Fill the struct: ``foo_bar`` from ``STATION_FOO_BAR``. A variable that is set but empty counts as not set.

    Fields may be ``str``, ``int``, ``float``, ``bool`` (true, false, 1, 0), ``Path``, a ``Literal``, any of these with
    ``msgspec.Meta`` limits, or ``X | None``.

    Raises:
        SettingsError: with every problem, also variables that do not exist.
    """
    problems = [*environment.unknown(environ), *_jetstream_refused(environ)]
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(struct_type):
        name = environment.PREFIX + field.name.upper()
        text = environ.get(name, "").strip()
        try:
            if text:
                values[field.name] = _convert(text, field.type)
            elif field.required:
                problems.append(
                    Problem("setting_missing", name, "This setting is needed and has no default.", f"Set {name}.")
                )
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(
                Problem("setting_invalid", name, f"{masked_url(text)!r} cannot be used: {error}.", _meaning(name))
            )
    if problems:
        raise SettingsError(problems)
    return struct_type(**values)


def effective(settings: msgspec.Struct) -> dict[str, Any]:
    """The values in force, for the log line at the start; passwords are masked."""
    return {
        field.name: _masked(field.name, getattr(settings, field.name)) for field in msgspec.structs.fields(settings)
    }


def masked_url(url: str) -> str:
    """The address without the password."""
    return _USERINFO.sub(lambda found: found[0].partition(":")[0] + ":***" if ":" in found[0] else "***", url)


def _convert(text: str, wanted: Any) -> Any:
    return msgspec.convert(text, wanted, strict=False, dec_hook=_other)


def _other(wanted: type[Any], value: Any) -> Any:
    if wanted is Path:
        return Path(value).expanduser()
    raise NotImplementedError(f"settings of type {wanted}")


def _jetstream_refused(environ: Mapping[str, str]) -> list[Problem]:
    name = "STATION_NATS_JETSTREAM_ENABLED"
    if environ.get(name, "").strip().lower() not in {"false", "0", "no", "off"}:
        return []
    message = "JetStream cannot be turned off: work is handed out through it, so that a runner that dies loses nothing."
    return [Problem("jetstream_needed", name, message, "Unset it, and start the broker with JetStream.")]


def _meaning(name: str) -> str | None:
    return next((variable.meaning for variable in environment.VARIABLES if variable.name == name), None)


def _masked(name: str, value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if not isinstance(value, str):
        return value
    return "***" if _SECRET.search(name) else masked_url(value)
