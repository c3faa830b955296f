"""The admin API's wallets: made, filled, corrected, shown."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from proxy.admincalls import Answer, body_of
from proxy.errors import BadRequest, NotFound
from proxy.keyforms import read_form
from proxy.knownnames import no_such
from proxy.ledgerquery import entry_body
from proxy.money import nano_to_usd
from proxy.storage.entries import Wanted
from proxy.storage.wallets import Wallet
from proxy.walletforms import MoveForm, WalletForm, checked_move, checked_name, wallet_body

if TYPE_CHECKING:
    from proxy.gateway import Gateway

LAST_ENTRIES = 20
NOTHING = {"credited": 0, "spent": 0, "held": 0}


class WalletEndpoints:
    """Wallets of gateway.yaml, which are there without being made, and those of the store."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def answers(self) -> list[tuple[str, str, Answer]]:
        return [
            ("GET", "wallets", self.list),
            ("POST", "wallets", self.create),
            ("GET", "wallets/{name}", self.show),
            ("POST", "wallets/{name}/credits", self.credit),
            ("POST", "wallets/{name}/adjustments", self.adjust),
        ]

    async def names(self) -> list[str]:
        """Every wallet that a key may draw on."""
        return sorted(await self._wallets())

    async def list(self, request: web.Request) -> Mapping[str, Any]:
        wallets = await self._wallets()
        return {"wallets": [self._body(wallets[name]) for name in sorted(wallets)]}

    async def create(self, request: web.Request) -> Mapping[str, Any]:
        name = checked_name(read_form(WalletForm, await body_of(request)).name)
        if name in self._gateway.snapshot.config.wallets or not await self._gateway.store.wallets.create(name):
            raise BadRequest(f"There is a wallet {name!r} already.", param="name")
        return self._body(Wallet(name=name, **NOTHING))

    async def show(self, request: web.Request) -> Mapping[str, Any]:
        wallet = await self._find(request)
        entries = await self._gateway.store.entries.latest(Wanted(account=f"wallet:{wallet.name}"), limit=LAST_ENTRIES)
        records = (*self._gateway.snapshot.static_keys.values(), *self._gateway.app.keys.list())
        keys = [record.name for record in records if record.wallet == wallet.name]
        return {**self._body(wallet), "keys": keys, "entries": [entry_body(entry) for entry in entries]}

    async def credit(self, request: web.Request) -> Mapping[str, Any]:
        return await self._move(request, signed=False)

    async def adjust(self, request: web.Request) -> Mapping[str, Any]:
        return await self._move(request, signed=True)

    async def _move(self, request: web.Request, *, signed: bool) -> Mapping[str, Any]:
        form = checked_move(read_form(MoveForm, await body_of(request)), signed=signed)
        wallet, wallets = await self._find(request), self._gateway.store.wallets
        operation_id = form.id or f"op_{uuid.uuid4().hex}"
        move = wallets.adjust if signed else wallets.credit
        balance = await move(wallet.name, form.amount_usd, operation_id=operation_id, actor=form.actor, reason=form.reason)
        return {
            "id": operation_id,
            "wallet": wallet.name,
            "amount_usd": nano_to_usd(form.amount_usd),
            "balance_usd": nano_to_usd(balance),
        }

    async def _wallets(self) -> dict[str, Wallet]:
        stored = {wallet.name: wallet for wallet in await self._gateway.store.wallets.list()}
        named = {name: Wallet(name=name, **NOTHING) for name in self._gateway.snapshot.config.wallets}
        return named | stored

    async def _find(self, request: web.Request) -> Wallet:
        name = request.match_info["name"]
        stored = await self._gateway.store.wallets.find(name)
        if stored is not None:
            return stored
        if name in self._gateway.snapshot.config.wallets:
            return Wallet(name=name, **NOTHING)
        told = no_such("wallet", name, await self.names())
        raise NotFound(f"{told} To make one: `paifang wallet create`.", param="wallet")

    def _body(self, wallet: Wallet) -> dict[str, Any]:
        return wallet_body(wallet, "gateway.yaml" if wallet.name in self._gateway.snapshot.config.wallets else "store")
