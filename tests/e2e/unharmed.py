"""What must hold after every fault: nothing is left running, held, or borrowed, and the next request is fine."""

from __future__ import annotations

from tests.e2e.conftest import Served
from tests.fakes import eventually


async def unharmed(served: Served, *, holds: int = 0) -> None:
    """holds: that are kept, as what they cover may have been served. The gateway has a model `simulated`."""
    gateway = served.gateway
    await eventually(lambda: not gateway.pipeline.running and not len(gateway.tail))
    busy = [pool.busy for pool in gateway.transport._pools.values()]
    assert not any(busy), "a connection to a provider is still lent out"
    await eventually(lambda: gateway.app.ledger.unsettled <= holds)
    assert (await served.chat("simulated")).status == 200
    assert (await served.ask("GET", "/readyz")).status == 200
