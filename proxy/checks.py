"""Active checks: routes asked for one token every `health.check_every_s`, so that no request need find out what fails."""

from __future__ import annotations

import asyncio

import structlog

from proxy import probe
from proxy.chat import Task
from proxy.context import Target
from proxy.errors import GatewayError, UpstreamError
from proxy.faults import is_own_cancellation
from proxy.gateway import Gateway
from proxy.health import RouteHealth
from proxy.snapshot import Snapshot

LOOK_AGAIN_S = 1.0
"""While it is off: a reload may turn it on."""

log = structlog.get_logger("paifang")


async def check_regularly(gateway: Gateway) -> None:
    """Check as often as gateway.yaml says, one that is silent as often as it can be. Runs until cancelled."""
    silent: set[RouteHealth] = set()
    async with asyncio.TaskGroup() as rounds:
        while True:
            every_s = gateway.snapshot.config.health.check_every_s
            await asyncio.sleep(LOOK_AGAIN_S if every_s is None else every_s)
            if every_s is not None:
                rounds.create_task(check(gateway, silent))


async def check(gateway: Gateway, silent: set[RouteHealth]) -> None:
    """Ask every route that may be asked now; what comes of it counts as for a request.

    silent: of those that were asked and have not answered yet; they are not asked again.
    """
    snapshot = gateway.snapshot
    now_ns = gateway.app.clock.monotonic_ns()
    asked = [
        (entry.task, target)
        for entry in snapshot.models.values()
        for target in entry.pool
        if not snapshot.providers[target.provider].adapter.simulated
        and target.health not in silent
        and not target.health.wait_ns(now_ns)
    ]
    silent.update(target.health for _, target in asked)

    async def ask(task: Task, target: Target) -> None:
        try:
            await _check(gateway, snapshot, task, target)
        finally:
            silent.discard(target.health)

    await asyncio.gather(*(ask(task, target) for task, target in asked))


async def _check(gateway: Gateway, snapshot: Snapshot, task: Task, target: Target) -> None:
    clock, chat = gateway.app.clock, probe.cheapest(task, target)
    if target.health.wait_ns(clock.monotonic_ns(), chat):
        return  # another check has begun to find out about the same credential
    flight = target.health.begin(clock.monotonic_ns(), chat)
    failure: UpstreamError | None = None
    ok = False
    try:
        await probe.ask(snapshot.providers[target.provider], target, chat, gateway.transport)
        ok = True
    except UpstreamError as error:
        failure = error
    except GatewayError:
        pass  # the door can't do so small a request: that says nothing of the route
    except BaseException as error:
        if is_own_cancellation(error):
            raise
        log.exception("adapter failed", adapter=target.adapter, route=target.label)
    finally:
        flight.end(clock.monotonic_ns(), None, failure, ok=ok)
