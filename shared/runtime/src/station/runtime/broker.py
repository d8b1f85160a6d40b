"""The configuration of the bundled broker: loopback only, one user per service, and each with its own subjects only.

The rule: nothing is allowed that is not listed. Only the scheduler tells events and hands out work, and only
approval-service decides.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from station.contracts import subjects
from station.runtime.parts import MOST_PARTS

__all__ = ["RIGHTS", "Broker", "Rights", "inbox_prefix", "write_config"]

_ACK = f"$JS.ACK.{subjects.TASKS_STREAM}"
_NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.TASKS_STREAM}"
_DISCOVERY = "$SRV.>"
_MIB = 1024 * 1024


class Rights(msgspec.Struct, frozen=True):
    """The subjects a user may use. Everybody also reads the own inbox, and may answer what was asked of it."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def _takes(consumer: str) -> tuple[str, str]:
    """Fetch and acknowledge the messages of one consumer; making it is the scheduler's."""
    return f"{_NEXT}.{consumer}", f"{_ACK}.{consumer}.>"


RIGHTS: Mapping[str, Rights] = {
    "scheduler": Rights(
        publish=(
            "wf.event.>",
            "wf.task.step.>",
            "wf.task.approval.>",
            "wf.control.>",
            subjects.INBOX_DECIDE,  # what other systems decide on the stream goes through approval-service
            "$JS.API.>",
            f"{_ACK}.>",
        ),
        subscribe=(
            "wf.rpc.run.>",
            "wf.rpc.workflow.>",
            "wf.rpc.query.>",
            "wf.rpc.step.>",
            "wf.rpc.runner.>",
            "wf.rpc.letter.>",
            "wf.rpc.approval.>",
            "$JS.EVENT.ADVISORY.>",
            subjects.STARTED_FILTER,
            _DISCOVERY,
        ),
    ),
    "gateway": Rights(
        publish=("wf.rpc.run.>", "wf.rpc.workflow.>", "wf.rpc.query.>", "wf.rpc.inbox.>"),
        subscribe=("wf.event.>", subjects.PROGRESS_FILTER, subjects.STARTED_FILTER, _DISCOVERY),
    ),
    "agent-runner": Rights(
        publish=(
            "wf.rpc.step.>",
            "wf.rpc.runner.>",
            subjects.LETTER_KEEP,
            subjects.PROGRESS_FILTER,
            subjects.REMOTE_AGENTS,
            *_takes(subjects.RUNNER_CONSUMER),
        ),
        subscribe=(subjects.CANCEL_FILTER, subjects.STARTED_FILTER, _DISCOVERY),
    ),
    "approval-service": Rights(
        publish=(
            "wf.rpc.approval.>",
            "wf.rpc.query.>",
            subjects.LETTER_KEEP,
            subjects.STARTED_FILTER,  # a false one makes others ask again, no more
            *_takes(subjects.APPROVAL_CONSUMER),
        ),
        subscribe=("wf.rpc.inbox.>", "wf.event.>", subjects.STARTED_FILTER, _DISCOVERY),
    ),
    # Other systems, with their ordinary NATS client: start and signal runs, ask, follow what happens, and be agents.
    "external": Rights(
        publish=(
            "wf.task.run.*",
            subjects.RESUME_FILTER,
            "wf.rpc.run.>",
            "wf.rpc.query.>",
            subjects.REMOTE_REPLIES,
            _DISCOVERY,
        ),
        subscribe=("wf.event.>", subjects.PROGRESS_FILTER, subjects.REMOTE_AGENTS),
    ),
    # The command line and its doctor: ask and look, change nothing that the API could not.
    "cli": Rights(
        publish=(
            "wf.rpc.run.>",
            "wf.rpc.query.>",
            "wf.rpc.inbox.>",
            "$JS.API.STREAM.INFO.>",
            "$JS.API.CONSUMER.INFO.>",
            _DISCOVERY,
        ),
        subscribe=("wf.event.>", subjects.PROGRESS_FILTER),
    ),
}


class Broker(msgspec.Struct, frozen=True):
    """A broker that can be started with ``nats-server -c <config_path>``."""

    config_path: Path
    port: int
    passwords: dict[str, str]

    def url_for(self, user: str) -> str:
        """The address with the user's password. Raises KeyError for a user that is not in `RIGHTS`."""
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.port}"

    def __repr__(self) -> str:
        return f"Broker(config_path={str(self.config_path)!r}, port={self.port})"


def inbox_prefix(user: str) -> str:
    """Where a user gets answers. Other systems keep the prefix that every NATS client has by itself."""
    return "_INBOX" if user == "external" else f"_INBOX_{user}"


def write_config(
    data_dir: Path, port: int, *, sync: Literal["default", "always"] = "default", monitor_port: int | None = None
) -> Broker:
    """Write ``<data_dir>/nats.conf`` and, the first time, ``<data_dir>/credentials``; both for their owner's eyes only.

    ``sync`` always: a publish is acknowledged after fsync. ``monitor_port``: the server's own HTTP, on loopback.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    passwords = _credentials(data_dir / "credentials")
    config: dict[str, Any] = {
        "server_name": "station",
        "listen": f"127.0.0.1:{port}",
        "max_payload": 8 * _MIB,
        "jetstream": {
            "store_dir": str((data_dir / "jetstream").resolve()),
            "max_memory_store": 64 * _MIB,
            "max_file_store": 8192 * _MIB,
            **({"sync_interval": "always"} if sync == "always" else {}),
        },
        "authorization": {"timeout": 2, "users": [_user(name, password) for name, password in passwords.items()]},
    }
    if monitor_port is not None:
        config["http"] = f"127.0.0.1:{monitor_port}"
    path = data_dir / "nats.conf"
    _write_private(path, config)
    return Broker(path, port, passwords)


def _user(name: str, password: str) -> dict[str, Any]:
    rights = RIGHTS[name]
    permissions = {
        "publish": {"allow": list(rights.publish)},
        "subscribe": {"allow": [*rights.subscribe, f"{inbox_prefix(name)}.>"]},
        "allow_responses": {"max": MOST_PARTS, "expires": "2m"},
    }
    return {"user": name, "password": password, "permissions": permissions}


def _credentials(path: Path) -> dict[str, str]:
    """The passwords of all users: those of earlier starts, so that whoever is connected stays welcome, and new ones."""
    kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str]) if path.exists() else {}
    passwords = {name: kept.get(name) or secrets.token_hex(24) for name in RIGHTS}
    if passwords != kept:
        _write_private(path, passwords)
    return passwords


def _write_private(path: Path, content: object) -> None:
    """All or nothing, and never readable by others, not even for a moment."""
    draft = path.with_name(path.name + ".tmp")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
