"""The admin API's reports: usage added up and request by request, the ledger checked and entry by entry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from proxy.admincalls import Answer, body_of
from proxy.keyforms import read_form
from proxy.knownnames import check_known
from proxy.ledgerquery import (
    ReconcileForm,
    entries_body,
    entries_query,
    exposure_body,
    exposure_query,
    reconciled_body,
)
from proxy.spanquery import SECOND_NS
from proxy.usagequery import requests_body, requests_query, usage_body, usage_query

if TYPE_CHECKING:
    from proxy.gateway import Gateway


class ReportEndpoints:
    """What the store says."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def answers(self) -> list[tuple[str, str, Answer]]:
        return [
            ("GET", "usage", self.usage),
            ("GET", "usage/requests", self.requests),
            ("GET", "ledger/entries", self.entries),
            ("GET", "ledger/verify", self.verify),
            ("GET", "ledger/exposure", self.exposure),
            ("POST", "ledger/exposure/reconciliations", self.reconcile),
        ]

    async def usage(self, request: web.Request) -> Mapping[str, Any]:
        query = await asyncio.to_thread(usage_query, request.query, self._now_s())
        await check_known(self._gateway, query.where)
        span = query.span
        return usage_body(query, await self._gateway.store.reports.usage(query.by, *span.ns, span.timezone, query.where))

    async def requests(self, request: web.Request) -> Mapping[str, Any]:
        query = await asyncio.to_thread(requests_query, request.query, self._now_s())
        await check_known(self._gateway, query.where)
        log = self._gateway.store.requests
        return requests_body(query, await log.page(*query.span.ns, query.where, limit=query.limit, before=query.before))

    async def entries(self, request: web.Request) -> Mapping[str, Any]:
        query = await asyncio.to_thread(entries_query, request.query, self._now_s())
        what, _, name = query.wanted.account.partition(":")
        await check_known(self._gateway, {what: name})
        entries = self._gateway.store.entries
        return entries_body(query, await entries.page(query.wanted, after_id=query.after_id, limit=query.limit))

    async def verify(self, request: web.Request) -> Mapping[str, Any]:
        return {"problems": await self._gateway.store.reports.verify()}

    async def exposure(self, request: web.Request) -> Mapping[str, Any]:
        asked = await asyncio.to_thread(exposure_query, request.query, self._now_s())
        await check_known(self._gateway, {"provider": asked.provider or ""})
        exposures = self._gateway.store.exposures
        return exposure_body(await exposures.open(asked.since_ns, asked.until_ns, asked.timezone, asked.provider))

    async def reconcile(self, request: web.Request) -> Mapping[str, Any]:
        form = read_form(ReconcileForm, await body_of(request))
        asked = await asyncio.to_thread(form.query, self._now_s())
        done = await self._gateway.store.exposures.reconcile(
            asked.since_ns,
            asked.until_ns,
            form.provider,
            form.billed_usd,
            actor=form.actor,
            reason=form.reason,
            now_ns=self._gateway.app.clock.now_ns(),
        )
        return reconciled_body(done)

    def _now_s(self) -> int:
        return self._gateway.app.clock.now_ns() // SECOND_NS
