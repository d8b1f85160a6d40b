"""What handlers are given besides the request's own parts; ``station.gateway.app`` provides it by these names."""

from litestar.di import NamedDependency
from litestar.params import FromPath

from station.gateway.clients import RpcClient
from station.gateway.identity import Caller
from station.gateway.sse import EventStreams

Scheduler = NamedDependency[RpcClient]
Inbox = NamedDependency[RpcClient]
"""The way to approval-service."""
Asker = NamedDependency[Caller]
Streams = NamedDependency[EventStreams]
Id = FromPath[str]
