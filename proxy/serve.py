"""`paifang serve`: a gateway from its start to the signal that ends it.

SIGTERM and SIGINT let running answers finish, for as long as `server.drain_timeout_s`. A second one breaks off what still runs,
with an error for its client and a settled charge. A third ends the process at once. SIGHUP reloads gateway.yaml.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from proxy import banner
from proxy.admin import AdminEndpoints
from proxy.aging import today_of
from proxy.boot import store_url
from proxy.checks import check_regularly
from proxy.clock import Clock
from proxy.configsections import StoreConfig
from proxy.control import AdminRefusal, answers, at, link_to, socket_of
from proxy.crew import Crew, CrewError, worker_count
from proxy.fleet import Fleet
from proxy.gateway import Company, Gateway
from proxy.handover import Taken, discard, inherit, serving, take_over
from proxy.keyforms import KeyForm, read_form
from proxy.leaving import leave_with_the_ledger
from proxy.listening import bind, inherited, tell_of_another
from proxy.logs import log_to
from proxy.rates import KeptRates
from proxy.reload import follow, stamps_of
from proxy.retention import forget_regularly
from proxy.storage.guest import Guest
from proxy.storage.keys import is_of_chat
from proxy.storage.sqlite import OwnerError, StoreError
from proxy.storage.store import Store, parsed_url

DEMO_DAILY_USD = "1"
OWNER_WAIT_S = 3.0
"""For a command that has the store to itself for a moment, or a gateway that is just ending."""
Say = Callable[[str], None]

log = structlog.get_logger("paifang")


class ServeError(Exception):
    """The gateway can't start. The message is one line: what, where, and the remedy."""


async def serve(
    file: Path, environ: Mapping[str, str], host: str | None, port: int | None, say: Say, *, takeover: bool = False
) -> None:
    """Serve until a signal, or until another process has taken over. say: tells the person who started it, line by line.

    host, port: instead of gateway.yaml's. takeover: take over from the gateway that runs on this store, if one does.

    Raises: ConfigError, StoreError, ServeError, ControlError, InheritedError.
    """
    signals = Signals()
    main, metrics = inherited(environ)
    held = bool(main)
    read = await asyncio.to_thread(stamps_of, file)
    control = await asyncio.to_thread(socket_of, file, environ)
    taken = await _take_over(control) if takeover else None
    if taken is not None:
        main, metrics = [*taken.main], [*taken.metrics]
    crew = Crew(environ)
    gateway, guest = await _open(file, environ, control, taken, crew)
    log_to(secrets=lambda: [*gateway.snapshot.secrets, *gateway.transport.secrets()])
    try:
        if taken is not None:
            server = gateway.snapshot.config.server
            await tell_of_another(host or server.host, server.port if port is None else port, main)
        chosen = await _listen(gateway, host, port, main, metrics, crew, control)
        prepare_memory()
        async with asyncio.TaskGroup() as group:
            beside = [
                follow(gateway, signals.nudged, read),
                forget_regularly(gateway),
                check_regularly(gateway),
                leave_with_the_ledger(gateway.store, signals.stop),
            ]
            if guest is None:
                await gateway.listen_control(control)
                await asyncio.to_thread(link_to, control, file)
                await _greet(gateway, chosen, say)
            else:
                await serving(gateway, guest)
                _say_banner(gateway, say)
                beside.append(_inherit(gateway, guest, control, signals))
            running = [group.create_task(work) for work in beside]
            await _first_of(signals.stop, gateway.succeeded)
            for task in running:
                task.cancel()
    finally:
        # What systemd listens on is there for the next process, as it is for one that took over.
        succeeded = held or gateway.succeeded.is_set()
        if crew.workers > 1:
            await crew.leave(signals.hurry, succeeded=succeeded)
            signals.hurry.set()
        await gateway.close(signals.hurry, succeeded=succeeded)
    if gateway.store.writer.dead:
        raise ServeError("the ledger's writer failed, the log says why: start again, what was settled since is kept")


async def _inherit(gateway: Gateway, guest: Guest, control: Path, signals: Signals) -> None:
    """Own the store once it is free. If that can't be, nothing can be written, and the gateway ends."""
    try:
        await inherit(gateway, guest, control)
    except StoreError as error:
        log.critical("the store can't be taken over: this gateway ends", detail=str(error))
        guest.writer.lost(str(error))
        signals.hurry.set()
        signals.stop.set()


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


class Signals:
    """What the process was told by signals."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """The first SIGTERM or SIGINT."""
        self.hurry = asyncio.Event()
        """The second."""
        self.nudged = asyncio.Event()
        """SIGHUP; whoever heeds it clears it."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_signal_handler(signal.SIGTERM, self._end)
        self._loop.add_signal_handler(signal.SIGINT, self._end)
        self._loop.add_signal_handler(signal.SIGHUP, self.nudged.set)

    def _end(self) -> None:
        if not self.stop.is_set():
            log.info("stopping: running answers may finish; a second signal breaks them off")
            self.stop.set()
            return
        log.warning("breaking off what still runs; a third signal ends the process at once")
        self.hurry.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)


def prepare_memory() -> None:
    """Spare every request what can be done once.

    asyncio reads into a fresh 256 KiB buffer each time, and glibc maps and unmaps pages for each until a block as large as
    this has been freed. What stands now stays, so the garbage collector need not walk it again and again.
    """
    bytes(2**20)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


async def _take_over(control: Path) -> Taken | None:
    """What the gateway that runs hands over; None if none runs."""
    if not await answers(control):
        return None
    try:
        async with at(control) as caller:
            return await take_over(caller, control)
    except (AdminRefusal, OSError) as error:
        raise ServeError(f"the gateway that runs does not hand over: {error}") from error


async def _open(
    file: Path, environ: Mapping[str, str], control: Path, taken: Taken | None, fleet: Fleet
) -> tuple[Gateway, Guest | None]:
    if taken is None:
        return await _open_own(file, environ, control, fleet), None
    guests: list[Guest] = []

    async def as_guest(section: StoreConfig, file: Path, clock: Clock) -> Store:
        url = await asyncio.to_thread(store_url, section.url, file)
        guest = Guest(parsed_url(url), section.durability, clock)
        await guest.connect(taken.end, {}, lambda: None)
        guests.append(guest)
        return guest.store

    try:
        return await Gateway.open(file, environ, company=Company(open_store=as_guest, fleet=fleet)), guests[0]
    except BaseException:
        discard(taken)
        raise


async def _open_own(file: Path, environ: Mapping[str, str], control: Path, fleet: Fleet) -> Gateway:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + OWNER_WAIT_S
    while True:
        try:
            return await Gateway.open(file, environ, company=Company(fleet=fleet))
        except OwnerError:
            await _refuse_a_second(control)
            if loop.time() > deadline_s:
                raise
        await asyncio.sleep(0.1)


async def _refuse_a_second(path: Path) -> None:
    """Raises: ServeError: a gateway serves this store already."""
    if await answers(path):
        async with at(path) as caller:
            status = await caller.call("GET", "status")
        where = f"process {status['pid']}" + (f" at {status['address']}" if status["address"] else "")
        raise ServeError(
            f"a gateway serves this store already ({where}): stop it, take over from it with --takeover, or name another "
            "file in store.url"
        )


async def _listen(
    gateway: Gateway,
    host: str | None,
    port: int | None,
    main: list[socket.socket],
    metrics: list[socket.socket],
    crew: Crew,
    control: Path,
) -> str:
    """Serve, or have workers serve, on the sockets that were handed over, else on the chosen or configured address.

    Returns the host.
    """
    server = gateway.snapshot.config.server
    chosen_host, chosen_port = host or server.host, server.port if port is None else port
    count = worker_count(server.workers)
    try:
        if main:
            chosen_host = main[0].getsockname()[0]
        else:
            main = await bind(chosen_host, chosen_port)
        if count == 1:
            await gateway.listen_on(chosen_host, main, metrics)
            return chosen_host
        gateway.take_address(chosen_host, main)
        await gateway.listen_metrics(metrics)
    except OSError as error:
        raise ServeError(_remedy(error, gateway, chosen_host, chosen_port)) from error
    assert isinstance(gateway.app.rates, KeptRates)
    try:
        await crew.start(count, gateway, gateway.app.rates, control)
    except CrewError as error:
        raise ServeError(str(error)) from error
    return chosen_host


def _remedy(error: OSError, gateway: Gateway, host: str, port: int) -> str:
    """What to do about an address that can't be listened on: the main one, or that of `metrics.listen`."""
    metrics = gateway.snapshot.config.metrics.listen
    another = f"--port {port + 1 if port < 65535 else 8080}"
    another_host = "another --host, such as 127.0.0.1"
    if gateway.address and metrics is not None:
        host, _, text = metrics.rpartition(":")
        port, another, another_host = int(text), "another metrics.listen", "another metrics.listen"
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} is taken: stop what runs there or use {another}"
        case errno.EACCES | errno.EPERM:
            return f"this user may not listen on port {port}: use --port 8080"
        case _:
            return f"{host} is no address of this machine: use {another_host}"


def _say_banner(gateway: Gateway, say: Say) -> None:
    for line in banner.banner(
        gateway.snapshot, gateway.app.version, gateway.address, gateway.file, today_of(gateway.app.clock)
    ):
        say(line)


async def _greet(gateway: Gateway, host: str, say: Say) -> None:
    address = banner.reachable(host, int(gateway.address.rpartition(":")[2]))
    _say_banner(gateway, say)
    if gateway.snapshot.static_keys or "virtual_keys" not in gateway.registry.names:
        return
    made = [key for key in gateway.app.keys.list() if not (is_of_chat(key.name) and key.refusal(gateway.started_ns))]
    if gateway.snapshot.config.keys or made or not banner.is_loopback(host):
        which = "another" if made else "a"
        say(f"make {which} key: {banner.create_line(gateway.file)}")
        return
    limited = {"budget": {"daily_usd": DEMO_DAILY_USD}} if "budget" in gateway.registry.names else {}
    record, key = await AdminEndpoints(gateway).make_key(read_form(KeyForm, {"name": "demo", **limited}))
    say(f"demo key, shown this once: {key}")
    if example := banner.example(gateway.snapshot, address, record.admit(gateway.started_ns), key):
        say(f"try it: {example}")
