"""`paifang doctor`: everything that a gateway needs, looked at from beside it, and what to do about what is amiss."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from proxy.aging import aging, today_of
from proxy.boot import Loaded, compile_loaded, load
from proxy.clock import SystemClock
from proxy.control import ControlError, answers, at, connect, socket_on
from proxy.errors import ConfigError
from proxy.finding import Finding
from proxy.plural import counted
from proxy.probe import Probe, probe_all
from proxy.snapshot import Snapshot
from proxy.spanquery import iso_ms
from proxy.storage.sqlite import StoreError
from proxy.surprises import surprises
from proxy.yamltext import Document, read

WRONG_CLOCK_S = 30
"""Signatures of some providers end after some minutes; budgets' days begin by this clock."""
READY_S = 5


async def examine(file: Path, environ: Mapping[str, str], *, call_providers: bool) -> list[Finding]:
    """Every finding, whether a gateway runs or none does. call_providers: ask each once; costs a few tokens."""
    try:
        loaded = await asyncio.to_thread(load, file, environ)
    except ConfigError as error:
        remedy = "Mend the file; a gateway that runs goes on with what it had."
        broken = [
            Finding(check="config", state="problem", message=problem.render(error.file), remedy=remedy)
            for problem in error.problems
        ]
        return broken + await _while_broken(file, environ)
    snapshot = compile_loaded(loaded)
    of_gateway, probes = await _gateway(file, environ, loaded, call_providers=call_providers)
    if call_providers and probes is None:
        probes = await probe_all(snapshot)
    probes = probes or []
    document = await asyncio.to_thread(read, loaded.source.text, str(file))
    return [
        *await asyncio.to_thread(lambda: list(_config(file, loaded, snapshot, document))),
        *of_gateway,
        *(_provider(probe, file, document) for probe in probes),
        *_clock(probes),
    ]


def _config(file: Path, loaded: Loaded, snapshot: Snapshot, document: Document) -> Iterator[Finding]:
    serving = sum(snapshot.routes.values())
    told = f"{file} is valid: {counted(len(snapshot.models), 'model')}, {serving} of {len(snapshot.routes)} routes serve"
    yield Finding(check="config", state="ok", message=told)
    for notice in (*snapshot.notices, *surprises(snapshot, document, str(file))):
        yield Finding(check="config", state="note", message=notice)
    for line in aging(loaded.config, today_of(SystemClock())):
        yield Finding(check="age", state="note", message=line)


async def _while_broken(file: Path, environ: Mapping[str, str]) -> list[Finding]:
    """What a gateway that runs has to say, where the file is no good for starting another."""
    try:
        path = await socket_on(file, environ)
        if not await answers(path):
            return []
        async with at(path) as caller:
            return _findings(await caller.call("GET", "diagnosis"))
    except (ConfigError, ControlError):
        return []


async def _gateway(
    file: Path, environ: Mapping[str, str], loaded: Loaded, *, call_providers: bool
) -> tuple[list[Finding], list[Probe] | None]:
    """The store, and where it listens or would. With what a gateway that runs on what the file says makes of its providers."""
    probes: list[Probe] | None = None
    try:
        async with connect(file, environ) as caller:
            status = await caller.call("GET", "status")
            found = _findings(await caller.call("GET", "diagnosis"))
            same = status["config"] == str(await asyncio.to_thread(file.resolve)) and status["config_problem"] is None
            if call_providers and status["address"] and same:
                told = (await caller.call("POST", "probes"))["probes"]
                probes = [Probe(**{**probe, "at": tuple(probe["at"])}) for probe in told]
    except (StoreError, ControlError) as error:
        return [Finding(check="store", state="problem", message=str(error))], probes
    if status["address"]:
        return [*found, await _listening(status)], probes
    return [*found, *(await asyncio.to_thread(lambda: list(_ports(loaded))))], probes


def _findings(answer: Mapping[str, Any]) -> list[Finding]:
    return [Finding(**finding) for finding in answer["findings"]]


async def _listening(status: Mapping[str, Any]) -> Finding:
    """Whether the gateway that runs can be reached where it says it listens."""
    address, told = status["address"], f"process {status['pid']} serves at {status['address']}"
    address = address.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    try:
        timeout = aiohttp.ClientTimeout(total=READY_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{address}/readyz") as response:
            if response.status == 200:
                return Finding(check="port", state="ok", message=told)
            reason = (await response.json()).get("reason")
            return Finding(check="port", state="problem", message=f"{told} and is not ready: {reason}")
    except (aiohttp.ClientError, TimeoutError) as error:
        remedy = "Look at the load and the log of that process, and at a firewall on this machine."
        return Finding(
            check="port", state="problem", message=f"{told} and does not answer ({type(error).__name__})", remedy=remedy
        )


def _ports(loaded: Loaded) -> Iterator[Finding]:
    """Whether a gateway could listen where the file says."""
    yield Finding(check="gateway", state="note", message=f"none runs on {loaded.file}", remedy="Start one: `paifang serve`.")
    config = loaded.config
    places = [("server", config.server.host, config.server.port)]
    if config.metrics.listen is not None:
        metrics_host, _, metrics_port = config.metrics.listen.rpartition(":")
        places.append(("metrics.listen", metrics_host.strip("[]"), int(metrics_port)))
    for name, host, port in places:
        where = f"{host}:{port} ({name})"
        try:
            _try_to_listen(host, port)
        except OSError as error:
            remedy = {
                errno.EADDRINUSE: "Stop what runs there, or name another port.",
                errno.EACCES: "This user may not listen there: name a port above 1023.",
            }.get(error.errno or 0, "Name an address of this machine, such as 127.0.0.1.")
            message = f"{where} can't be listened on: {error.strerror or error}"
            yield Finding(check="port", state="problem", message=message, remedy=remedy)
        else:
            yield Finding(check="port", state="ok", message=f"{where} is free")


def _try_to_listen(host: str, port: int) -> None:
    """Raises: OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)


def _provider(probe: Probe, file: Path, document: Document) -> Finding:
    check = f"provider {probe.provider}"
    if probe.result == "refused":
        said = " ".join(f"{name} {value}" for name, value in probe.upstream.items())
        remedy = f"{probe.message} ({probe.problem(document).place(str(file))})"
        message = f"it refuses, with {said}" if said else f"it can't be asked: {probe.code}"
        return Finding(check=check, state="problem", message=message, remedy=remedy)
    return Finding(check=check, state="ok" if probe.result == "ok" else "note", message=probe.message)


def _clock(probes: list[Probe]) -> Iterator[Finding]:
    """This machine's clock against the providers'. One of them may be wrong; when all agree, it isn't them."""
    ahead_s = sorted(probe.clock_ahead_s for probe in probes if probe.clock_ahead_s is not None)
    if not ahead_s:
        yield Finding(
            check="clock",
            state="note",
            message=f"it says {iso_ms(SystemClock().now_ns())}, and no provider was asked for the time",
            remedy="See whether that is right (timedatectl): signed requests and budgets' days go by it.",
        )
        return
    median_s = ahead_s[len(ahead_s) // 2]
    if abs(median_s) <= WRONG_CLOCK_S:
        yield Finding(check="clock", state="ok", message=f"it is within {max(1, abs(median_s))} s of the providers' clocks")
        return
    way = "ahead of" if median_s > 0 else "behind"
    yield Finding(
        check="clock",
        state="problem",
        message=f"it is {abs(median_s)} s {way} the providers' clocks",
        remedy="Set the clock (timedatectl set-ntp true): signed requests are refused, and budgets' days begin by it.",
    )
