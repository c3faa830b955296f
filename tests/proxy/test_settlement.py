"""Holds of a request that are told, settled and void, on a real ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy import settlement
from proxy.chat import Usage
from proxy.context import advance
from proxy.errors import LedgerUnavailable, PluginFault, UpstreamRefused
from proxy.gateway import Gateway
from proxy.storage.ledger import Exposure
from proxy.story import Story
from tests.proxy.stories import MILLI_USD, entered, opened, posted, story

TWO_TOKENS = Usage(input_tokens=1, output_tokens=2)
LOST = Exposure(provider="relay", amount_nanousd=6 * MILLI_USD, line="no answer was seen")
NOTHING = {"gateway": 0, "key:ci": 0, "wallet:team": 0}

FLAT_FEE = """
@hookimpl
def meter(outcome):
    return Charge(amount_nanousd=5_000_000, usage=outcome.usage or Usage(input_tokens=0, output_tokens=0))
"""
NO_METER = """
@hookimpl
def meter():
    raise ZeroDivisionError
"""
STUBBORN = """
class Hold:
    def settle(self, charge):
        pass
    def void(self):
        raise ZeroDivisionError

@hookimpl
def reserve():
    return Hold()
"""
SLOW = """
import asyncio

class Hold:
    async def settle(self, charge):
        await asyncio.sleep(0.05)
    void = settle

@hookimpl
def reserve():
    return Hold()
"""


async def reserve(gateway: Gateway, told: Story) -> None:
    await settlement.reserve(told, gateway.app.keys, gateway.app.ledger)


async def held(gateway: Gateway) -> Story:
    told = story(gateway)
    await reserve(gateway, told)
    return told


async def debits(gateway: Gateway) -> list[int]:
    """Of the usage log."""
    return [logged.debit for logged in await gateway.store.requests.page(0, 2**62, {}, limit=9)]


async def test_what_was_served_is_charged_and_logged(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        told = await held(gateway)
        told.usage = TWO_TOKENS
        await settlement.settle(told, gateway.app.ledger)
        assert await entered(gateway) == [("wallet:team", "provider:relay", 2 * MILLI_USD)]
        assert await posted(gateway) == dict.fromkeys(NOTHING, 2 * MILLI_USD)
        assert await debits(gateway) == [2 * MILLI_USD]


@pytest.mark.parametrize("own", [(), (FLAT_FEE,)])
async def test_where_nothing_was_served_nothing_is_charged_and_it_is_logged(tmp_path: Path, own: tuple[str, ...]) -> None:
    async with opened(tmp_path, *own) as gateway:
        told = await held(gateway)
        told.error = UpstreamRefused("no")
        await settlement.settle(told, gateway.app.ledger)
        assert told.charge is None
        assert await entered(gateway) == []
        assert await posted(gateway) == NOTHING
        assert await debits(gateway) == [0]


async def test_what_no_plugin_can_charge_is_the_operators(tmp_path: Path) -> None:
    async with opened(tmp_path, NO_METER) as gateway:
        told = await held(gateway)
        told.usage = TWO_TOKENS
        with capture_logs(), pytest.raises(PluginFault):
            await settlement.settle(told, gateway.app.ledger)
        assert await entered(gateway) == [("operator", "exposure:relay", 2 * MILLI_USD)]
        assert await posted(gateway) == {**NOTHING, "gateway": 2 * MILLI_USD}


async def test_a_hold_that_can_not_be_given_back_keeps_none_of_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path, STUBBORN) as gateway:
        told = await held(gateway)
        assert gateway.app.ledger.unsettled == 1
        with capture_logs(), pytest.raises(PluginFault):
            await settlement.void(told, gateway.app.ledger)
        assert (told.settled, await posted(gateway)) == (True, NOTHING)


async def test_whoever_goes_on_from_where_it_was_interrupted_settles_once(tmp_path: Path) -> None:
    async with opened(tmp_path, SLOW) as gateway:
        told = await held(gateway)
        told.usage = TWO_TOKENS
        first = asyncio.ensure_future(settlement.settle(told, gateway.app.ledger))
        await asyncio.sleep(0.01)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await settlement.settle(told, gateway.app.ledger)
        assert await debits(gateway) == [2 * MILLI_USD]
        assert await posted(gateway) == dict.fromkeys(NOTHING, 2 * MILLI_USD)


async def test_what_a_lost_attempt_may_cost_is_entered_once_though_the_next_is_dearer(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        told = await held(gateway)
        told.exposures.append(LOST)
        for _ in range(2):
            await settlement.expose(told, gateway.app.keys)
        # As `transform_request` may ask for twelve tokens of what asked for six.
        advance(told.ctx, "candidates", tuple(target.capped(12) for target in gateway.snapshot.models["seed"].pool))
        await settlement.reserve_anew(told, gateway.app.keys, gateway.app.ledger)
        told.exposures.append(LOST)
        await settlement.expose(told, gateway.app.keys)
        told.usage = TWO_TOKENS
        await settlement.settle(told, gateway.app.ledger)
        lost, paid = ("operator", "exposure:relay", 6 * MILLI_USD), ("wallet:team", "provider:relay", 2 * MILLI_USD)
        assert await entered(gateway) == [lost, lost, paid]
        assert await posted(gateway) == {"gateway": 14 * MILLI_USD, "key:ci": 2 * MILLI_USD, "wallet:team": 2 * MILLI_USD}


async def test_nothing_new_is_held_while_the_ledger_can_not_write(tmp_path: Path) -> None:
    async with opened(tmp_path) as gateway:
        await gateway.store.close()
        told = story(gateway)
        with pytest.raises(LedgerUnavailable):
            await reserve(gateway, told)
        assert (told.holds, told.reserved) == ([], False)
