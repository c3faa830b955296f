"""GET /admin/v1/diagnosis: how the process that has the store is, as only it can tell, and what plugins did in all of them."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from proxy.errors import LedgerUnavailable
from proxy.faults import Faults, switched_off
from proxy.finding import Finding
from proxy.spanquery import iso_ms
from proxy.storage.examination import Examination, examine

if TYPE_CHECKING:
    from proxy.gateway import Gateway

MIB = 2**20
LITTLE_ROOM_BYTES, SCANT_ROOM_BYTES = 1024 * MIB, 64 * MIB
FEW_DESCRIPTORS, TOO_FEW_DESCRIPTORS = 4096, 256
"""A request that runs takes two: the client's connection and the provider's."""
CLOCK_BACK_NS = 60 * 10**9


async def diagnose(gateway: Gateway) -> list[Finding]:
    """Look at the store, the descriptors, the clock and the plugins of this process."""
    faults = Faults()
    for counted in await gateway.app.fleet.gather("faults"):
        faults.absorb(counted)
    off = await switched_off(gateway.app.fleet)
    found = [*_config(gateway.app.reloads.problem()), *_readiness(gateway), *_descriptors()]
    found += [*_plugins(faults), *_switched_off(off)]
    try:
        examination = await examine(gateway.store.writer)
    except LedgerUnavailable as error:
        return [Finding(check="store", state="problem", message=error.message, remedy="See the log for the reason."), *found]
    return [*_store(examination), *_clock(examination, gateway.app.clock.now_ns()), *found]


def _config(problem: str | None) -> Iterator[Finding]:
    if problem is not None:
        remedy = "Mend the file, or restart the gateway where that needs a restart: nothing of the file holds before."
        yield Finding(check="config", state="problem", message=problem, remedy=remedy)


def _readiness(gateway: Gateway) -> Iterator[Finding]:
    reason = gateway.not_ready()
    if gateway.heir is not None and gateway.succeeded.is_set():
        message = "it is handing over to another process, which serves, and lets its running answers finish"
        yield Finding(check="gateway", state="note", message=message)
    elif reason is not None:
        yield Finding(check="gateway", state="problem", message=f"it takes no new requests: {reason}")


def _store(seen: Examination) -> Iterator[Finding]:
    name = seen.path or "in memory"
    if seen.damage:
        remedy = "Stop the gateway, keep the file, and put a backup in its place."
        yield Finding(check="store", state="problem", message=f"{name} is damaged: {seen.damage}", remedy=remedy)
    elif seen.damage is None:
        message = f"{name} has {seen.file_bytes // MIB} MiB, too many to check while it is in use"
        yield Finding(check="store", state="note", message=message, remedy="`paifang ledger verify` checks it in slices.")
    else:
        yield Finding(check="store", state="ok", message=f"{name} can be written and is sound (SQLite {seen.sqlite})")
    if seen.free_bytes is None:
        remedy = "Name a file in store.url."
        yield Finding(check="room", state="note", message="the store is gone when the gateway ends", remedy=remedy)
        return
    told = f"{seen.free_bytes // MIB} MiB are free beside the store"
    if seen.free_bytes >= LITTLE_ROOM_BYTES:
        yield Finding(check="room", state="ok", message=told)
        return
    yield Finding(
        check="room",
        state="problem" if seen.free_bytes < SCANT_ROOM_BYTES else "note",
        message=told,
        remedy="Make room, or lower store.retention_days: on a full disk nothing new is served.",
    )


def _clock(seen: Examination, now_ns: int) -> Iterator[Finding]:
    if seen.newest_ns is not None and seen.newest_ns > now_ns + CLOCK_BACK_NS:
        told = f"the store has a request of {iso_ms(seen.newest_ns)}, and now it is {iso_ms(now_ns)}: the clock was set back"
        remedy = "Set the clock (timedatectl set-ntp true): days and months of budgets begin by it."
        yield Finding(check="clock", state="problem", message=told, remedy=remedy)


def _descriptors() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= FEW_DESCRIPTORS:
        yield Finding(check="descriptors", state="ok", message=f"{_of(soft)} files and connections may be open at once")
        return
    yield Finding(
        check="descriptors",
        state="problem" if soft < TOO_FEW_DESCRIPTORS else "note",
        message=f"{soft} files and connections may be open at once, so some {max(0, soft - 64) // 2} requests",
        remedy="Start the gateway after `ulimit -n 65536`, or with LimitNOFILE=65536 in its systemd unit.",
    )


def _of(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else str(limit)


def _plugins(faults: Faults) -> Iterator[Finding]:
    for (plugin, hook), count in faults.failures.items():
        yield Finding(
            check=f"plugin {plugin}",
            state="problem",
            message=f"its {hook} has failed {count} times since the start",
            remedy="The log has each failure: mend the plugin, or take it off the list.",
        )
    for (plugin, hook), count in faults.stalls.items():
        yield Finding(
            check=f"plugin {plugin}" if plugin else "event loop",
            state="problem" if plugin else "note",
            message=f"{f'its {hook}' if plugin else 'something'} has held up every request {count} times since the start",
            remedy="The log has the stack: what waits or computes there belongs into `await asyncio.to_thread(…)`.",
        )


def _switched_off(off: Mapping[str, Sequence[str]]) -> Iterator[Finding]:
    for plugin, hooks in off.items():
        yield Finding(
            check=f"plugin {plugin}",
            state="problem",
            message=f"its {', '.join(hooks)} took too long too often and is called no more",
            remedy="Mend the plugin, or take it off the list, then reload: a reload switches it on again.",
        )
