"""Gateway: every part wired together, from open to close."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import structlog

from proxy.admin import AdminEndpoints
from proxy.adminoff import absent
from proxy.app import App, Reloads
from proxy.boot import Loaded, compile_loaded, load, refuse_restart, store_url
from proxy.clock import Clock, SystemClock
from proxy.configfile import Source
from proxy.configsections import StoreConfig
from proxy.control import private_socket, unlink
from proxy.endpoints.http import PublicEndpoints
from proxy.errors import ConfigError
from proxy.faults import Faults
from proxy.fleet import Alone, Fleet
from proxy.health import Health
from proxy.leaving import GRACE_S, leave
from proxy.lifecycle import Leaving, Lifecycle
from proxy.listening import bind, close
from proxy.overload import Load, bounds_of
from proxy.peers import Peer, Peers
from proxy.pipeline import Pipeline
from proxy.pluginpaths import PluginPaths, handlers_of
from proxy.rates import KeptRates, Rates
from proxy.registry import Stamp
from proxy.server import Route, Runner
from proxy.storage.store import Store, open_store
from proxy.story import Story
from proxy.tail import Tail
from proxy.upstream import AiohttpTransport
from proxy.watchdog import Watchdog

VERSION = version("paifang")
OpenStore = Callable[[StoreConfig, Path, Clock], Awaitable[Store]]
LEFT_POLL_S = 0.1

log = structlog.get_logger("paifang")


async def own_store(section: StoreConfig, file: Path, clock: Clock) -> Store:
    """The store as this process's own. Raises: StoreError."""
    return await asyncio.to_thread(lambda: open_store(store_url(section.url, file), section.durability, clock))


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """What a gateway has from other processes, rather than of its own."""

    open_store: OpenStore = own_store
    source: Source | None = None
    """Of its configuration. None: the files."""
    rates: Rates | None = None
    health: Health | None = None
    fleet: Fleet | None = None


COMPANY_OF_NONE = Company()


class Gateway:
    """A gateway on one gateway.yaml. `open` it; then `listen`, or only ask it things; `close` it."""

    def __init__(
        self, file: Path, environ: Mapping[str, str], clock: Clock, store: Store, loaded: Loaded, company: Company, load: Load
    ) -> None:
        self.file = file
        self.store = store
        self.registry = loaded.registry
        self._loaded = loaded
        self.tried: dict[Path, Stamp] = loaded.registry.stamps
        """What the files of plugins were that the last configuration named, be it refused."""
        faults = Faults()
        self.health = company.health or Health(clock)
        self.snapshot = compile_loaded(loaded, faults.report, self.health)
        self.app = App(
            clock=clock,
            ledger=store.ledger,
            keys=store.keys,
            rates=company.rates or KeptRates(clock),
            fleet=company.fleet or Alone(),
            version=VERSION,
            current=lambda: self.snapshot,
            in_flight=self._in_flight,
            reloads=Reloads(last_success_s=clock.now_ns() / 1e9),
            faults=faults,
        )
        self.app.fleet.offer("faults", faults.state, faults.absorb)
        self.app.fleet.offer("off", lambda: sorted(self.snapshot.chain.off), lambda of_one_that_ended: None)
        self._lifecycle = Lifecycle(self.app)
        self._paths = PluginPaths(handlers_of(loaded), faults.report)
        self._watchdog = Watchdog(loaded.config.server.stall_s, faults)
        self.tail = Tail()
        self.transport = AiohttpTransport(f"paifang/{VERSION}", clock)
        self.app.fleet.offer("stale_connections", lambda: dict(self.transport.stale), self.transport.stale.update)
        self.load = load
        self.pipeline = Pipeline(self.app, self.transport, self.tail, self.load)
        self.address = ""
        """Where it listens, such as http://127.0.0.1:8080; empty while it doesn't."""
        self.started_ns = clock.now_ns()
        self.reloaded: Callable[[], Awaitable[None]] | None = None
        """Tells a reload to those who serve for this one."""
        self.leaving = False
        """True: it is about to end."""
        self.drained: Callable[[], Awaitable[None]] | None = None
        """Told that nothing runs here any more; returns when nothing does in those who leave together with this one."""
        self.peers = Peers(store)
        self.heir: Peer | None = None
        """The process that is to take over."""
        self.succeeded = asyncio.Event()
        """That process serves."""
        self.main_sockets: Sequence[socket.socket] = ()
        self.metrics_sockets: Sequence[socket.socket] = ()
        self.runners: list[Runner] = []
        """Those of the API and of metrics."""
        self._control: list[Runner] = []
        self.control_path = Path()
        """The control socket, while it listens there."""
        self._environ = environ
        self._changing = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        file: Path,
        environ: Mapping[str, str],
        clock: Clock | None = None,
        company: Company = COMPANY_OF_NONE,
        *,
        watched: bool = True,
    ) -> Gateway:
        """Load the configuration, open the store, start the plugins. Raises: ConfigError, StoreError.

        watched: tell who holds up the event loop; a command that serves nobody may take its time.
        """
        clock = clock or SystemClock()
        loaded = await asyncio.to_thread(load, file, environ, None, company.source)
        load_bounds = await asyncio.to_thread(bounds_of, loaded.config.server)
        store = await company.open_store(loaded.config.store, file, clock)
        try:
            gateway = cls(file, environ, clock, store, loaded, company, Load(load_bounds))
            if watched:
                gateway._watchdog.start()
            try:
                await gateway._lifecycle.start(loaded)
            except BaseException:
                gateway._watchdog.stop()
                raise
        except BaseException:
            await store.close()
            raise
        return gateway

    async def listen(self, host: str, port: int) -> int:
        """Serve on this address and, where configured, metrics on their own. Returns the port. Raises: OSError."""
        sockets = await bind(host, port)
        bound: int = sockets[0].getsockname()[1]
        await self.listen_on(host, sockets, ())
        return bound

    async def listen_on(self, host: str, main: Sequence[socket.socket], metrics: Sequence[socket.socket]) -> None:
        """Serve on listening sockets, which are closed with this. metrics: empty: bind what is configured. Raises: OSError."""
        self.take_address(host, main)
        await self.serve_on(main)
        await self.listen_metrics(metrics)

    def take_address(self, host: str, main: Sequence[socket.socket]) -> None:
        """These sockets are this gateway's address, whoever serves on them; they are closed with it."""
        self.main_sockets = main
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{main[0].getsockname()[1]}"

    async def serve_on(self, main: Sequence[socket.socket], admin: Sequence[Route] | None = None) -> None:
        """Serve the API on listening sockets; it shares them where others serve too.

        admin: the admin API of another process, instead of this one's.
        """
        config = self.snapshot.config
        routes = [route for route in self._routes() if route.listener == "main" or config.metrics.listen is None]
        if admin is not None:
            routes += admin
        else:
            routes += AdminEndpoints(self).routes(config.admin.token) if config.admin.token else absent()
        runner = await self._runner(routes, self.runners, self.load)
        self.load.watch()
        for listener in main:
            await runner.listen(listener, shared=admin is not None)

    async def listen_metrics(self, metrics: Sequence[socket.socket]) -> None:
        """Serve metrics on their own, where that is configured. Raises: OSError."""
        listen = self.snapshot.config.metrics.listen
        if listen is None:
            close(metrics)
            return
        host, _, port = listen.rpartition(":")
        self.metrics_sockets = metrics or await bind(host.strip("[]"), int(port))
        runner = await self._runner([route for route in self._routes() if route.listener == "metrics"], self.runners)
        for listener in self.metrics_sockets:
            await runner.listen(listener)

    async def listen_control(self, path: Path) -> None:
        """Serve the admin API on a Unix socket that only this user may open."""
        runner = await self._runner(AdminEndpoints(self).routes(None), self._control)
        await runner.listen(await asyncio.to_thread(private_socket, path))
        self.control_path = path

    async def close(
        self, hurry: asyncio.Event | None = None, *, succeeded: bool = False, farewell: Callable[[], None] | None = None
    ) -> None:
        """Let running answers finish as `leave` does, close everything. farewell: called when nothing is counted any more."""
        await leave(self, hurry or asyncio.Event(), succeeded=succeeded)
        self.app.events.close()
        if self._control:
            # While the store is still ours, so that it can't be the socket of whoever has it next.
            await asyncio.to_thread(unlink, self.control_path, self.file)
        for runner in (*self.runners, *self._control):
            await runner.cleanup()
        self.load.close()
        await self.tail.drain(GRACE_S)  # also what the runners' end has interrupted
        if farewell is not None:
            farewell()
        await self._lifecycle.end_all()
        await self.transport.close()
        close(self.main_sockets)
        self.peers.stop_reading()
        self._watchdog.stop()
        await self.store.close()
        await self.peers.close()

    async def reload(self, source: Source | None = None) -> None:
        """Take gateway.yaml as it is now, whole or not at all. Raises: ConfigError, and the old one goes on.

        source: instead of what the file says.
        """
        async with self._changing:
            before, stamps = self._loaded, dict[Path, Stamp]()
            try:
                try:
                    loaded = await asyncio.to_thread(load, self.file, self._environ, self.registry, source, stamps)
                finally:
                    self.tried = stamps
                refuse_restart(before, loaded)
                snapshot = compile_loaded(loaded, self.app.faults.report, self.health)
                handlers = handlers_of(loaded)
                await self._lifecycle.start(loaded)
            except BaseException as error:
                self.app.reloads.outcomes["failed"] += 1
                if isinstance(error, ConfigError):
                    self.app.reloads.refused = str(error)
                    refused = "gateway.yaml was refused, the old one goes on"
                    log.error(refused, problems=str(error), exc_info=error.__cause__)
                raise
            left = self._lifecycle.change_to(loaded)
            self._paths.change_to(handlers)
            self._loaded, self.registry, self.snapshot = loaded, loaded.registry, snapshot
            if left.lives:
                self.tail.spawn(self._end_left(left, self.pipeline.unfinished()))
            await self.transport.keep(snapshot.providers)
            if self.reloaded is not None:
                await self.reloaded()
            self.app.reloads.took(self.app.clock.now_ns() / 1e9)
            log.info("gateway.yaml was reloaded")

    @property
    def source(self) -> Source:
        """What the configuration that is in use was made of."""
        return self._loaded.source

    def not_ready(self) -> str | None:
        """Why no new request should come here; None if it may."""
        return "draining" if self.leaving or self.pipeline.draining else self.store.problem

    def _in_flight(self) -> Mapping[str, int]:
        return Counter(story.target.label for story in self.pipeline.running if story.target is not None)

    async def _end_left(self, left: Leaving, older: Set[Story]) -> None:
        """Shut plugins down once the requests that may meet them are over."""
        # Requests end all day and reloads are rare, so it looks rather than be told.
        while older & self.pipeline.unfinished():  # noqa: ASYNC110
            await asyncio.sleep(LEFT_POLL_S)
        await self._lifecycle.end_left(left)

    def _routes(self) -> list[Route]:
        return PublicEndpoints(self.app, self.pipeline, self.not_ready).routes() + self._paths.routes()

    async def _runner(self, routes: list[Route], among: list[Runner], load: Load | None = None) -> Runner:
        runner = Runner(routes, self.snapshot.config.server.max_body_bytes, GRACE_S, load)
        await runner.setup()
        among.append(runner)
        return runner
