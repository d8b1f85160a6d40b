"""Keeps the catalog: loads it, tells the scheduler, and does both again when a file changes."""

import asyncio
import contextlib
from pathlib import Path

from watchfiles import Change, awatch  # pyright: ignore[reportUnknownVariableType]

from station.agent_runner import metrics
from station.agent_runner.backends.registry import Backends
from station.agent_runner.catalog import AGENTS, SUFFIX, Catalog, load_catalog
from station.agent_runner.mcp.config import FOLDER as SERVERS
from station.agent_runner.mcp.config import VARIABLES
from station.agent_runner.mcp.servers import McpServers
from station.agent_runner.mcp.tool import McpUnavailable
from station.agent_runner.scheduler import Scheduler
from station.agent_runner.spool import Identity
from station.contracts import subjects
from station.contracts.agents import Announced, AnnounceRunner, KeepVersions
from station.contracts.errors import Failure
from station.contracts.work import Done
from station.runtime.errors import Refused
from station.runtime.logging import get_logger

log = get_logger("catalog")
REFRESH_SECONDS = 30
RETRY_SECONDS = 1
LOOK_MS = 1000
SETTLE_MS = 200
"""An editor writes a file in several steps; they are read as one change."""


class Announcer:
    """The agents of this runner, as they are now."""

    def __init__(
        self,
        root: Path,
        backends: Backends,
        scheduler: Scheduler,
        identity: Identity,
        servers: McpServers | None = None,
    ) -> None:
        self._root = root.absolute()
        self._backends = backends
        self._scheduler = scheduler
        self._identity = identity
        self._servers = servers
        self._loaded = asyncio.Event()
        self.catalog = Catalog()
        self._refusal: Failure | None = None

    async def load(self) -> None:
        """Read the files. Problems are logged when they are new."""
        known = set(self.catalog.problems)
        self.catalog = await load_catalog(self._root, self._backends, self._servers)
        self._loaded.set()
        for problem in self.catalog.problems:
            if problem not in known:
                log.error(
                    "agent_problem", file=problem.path, code=problem.code, detail=problem.message, hint=problem.hint
                )
        metrics.AGENTS.set(len(self.catalog.agents))
        metrics.PROBLEMS.set(len(self.catalog.problems))
        log.info("agents_loaded", agents=len(self.catalog.agents), problems=len(self.catalog.problems))

    async def announce(self) -> bool:
        """Tell the scheduler, however long it is away. From here on claims of earlier boots are void.

        False when it refuses; the reason is logged, once.
        """
        message = AnnounceRunner(
            runner=self._identity.runner,
            boot=self._identity.boot,
            environments=self.catalog.environments,
            agents=tuple(agent.summary for agent in self.catalog.agents.values()),
            problems=self.catalog.problems,
        )
        try:
            announced = await self._scheduler.ask(subjects.RUNNER_ANNOUNCE, message, Announced)
            await self._send_versions(announced.missing)
        except Refused as refused:
            if refused.failure != self._refusal:
                log.error("announcement_refused", code=refused.failure.code, detail=refused.failure.detail)
            self._refusal = refused.failure
            return False
        self._refusal = None
        return True

    async def _send_versions(self, missing: tuple[str, ...]) -> None:
        """Send what the scheduler does not have: a run that begins with a version can then always go on with it."""
        by_digest = {agent.summary.digest: agent.version for agent in self.catalog.agents.values()}
        for digest in missing:
            if digest in by_digest:
                await self._scheduler.ask(subjects.RUNNER_KEEP, KeepVersions(versions=(by_digest[digest],)), Done)

    async def run(self) -> None:
        """Announce every half minute, and at every change of a file, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh())
            group.create_task(self._watch())
            if self._servers is not None:
                group.create_task(self._know_tools(self._servers))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            await self.announce()

    async def _know_tools(self, servers: McpServers) -> None:
        """Ask servers whose tools are not known yet, again and again, and load anew with what they have said.

        Nobody waits for it: agents are announced meanwhile, as if their servers had the tools that they name.
        """
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._loaded.wait(), REFRESH_SECONDS)
            self._loaded.clear()
            unknown = [server for server in self.catalog.servers if servers.known_tools(*server) is None]
            before = [servers.trouble(*server) for server in unknown]
            await asyncio.gather(*(_ask(servers, *server) for server in unknown))
            known = [servers.known_tools(*server) for server in unknown]
            if any(known) or before != [servers.trouble(*server) for server in unknown]:
                await self._reload()

    async def _watch(self) -> None:
        while True:
            try:
                await self._follow()
            except OSError as error:
                # A folder that is not there cannot be watched; it may come, or come back.
                log.debug("watch_failed", folder=str(self._root), detail=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                if self._root.is_dir():
                    await self._reload()

    async def _follow(self) -> None:
        """Reload at every change, and once when the watch stands: what changed before that nobody saw."""
        watching = False
        async for changes in awatch(
            self._root, watch_filter=self._matters, debounce=SETTLE_MS, rust_timeout=LOOK_MS, yield_on_timeout=True
        ):
            if changes or not watching:
                await self._reload()
            watching = True

    def _matters(self, _change: Change, path: str) -> bool:
        """Files of agents and servers, and folders of them and of environments; not what agents write at work."""
        changed = Path(path)
        if changed.parent.name == SERVERS:
            return changed.suffix == ".json"
        if changed.name in {SERVERS, VARIABLES}:
            return True
        if changed.parent.name == AGENTS:
            return changed.suffix == SUFFIX
        return changed.name == AGENTS or changed.parent == self._root

    async def _reload(self) -> None:
        before = _told(self.catalog)
        await self.load()
        if _told(self.catalog) != before:
            await self.announce()


async def _ask(servers: McpServers, environment: str, server: str) -> None:
    """Have a server list its tools, or have it known why it does not."""
    with contextlib.suppress(McpUnavailable):
        await servers.tools(environment, server)


def _told(catalog: Catalog) -> object:
    """What the scheduler hears of a catalog."""
    return catalog.environments, [agent.summary for agent in catalog.agents.values()], catalog.problems
