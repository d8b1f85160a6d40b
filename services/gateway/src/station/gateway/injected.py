"""What handlers are given besides the request's own parts; ``station.gateway.app`` provides it by these names."""

from litestar.di import NamedDependency
from litestar.params import FromPath

from station.gateway.identity import Caller
from station.gateway.sse import EventStreams

Asker = NamedDependency[Caller]
Streams = NamedDependency[EventStreams]
Id = FromPath[str]
