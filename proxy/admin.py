"""The admin API: keys, models, routes, plugins, and what would happen to a request; with wallets and reports beside it.

Served on the control socket, whose file mode says who may, and over TCP to whoever has `admin.token`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from proxy.admincalls import Answer, body_of, guarded, json_handler
from proxy.adminevents import follow
from proxy.adminopenapi import PREFIX, document
from proxy.adminreports import ReportEndpoints
from proxy.adminwallets import WalletEndpoints
from proxy.banner import example, reachable
from proxy.diagnosis import diagnose
from proxy.errors import BadRequest, ConfigError, NotFound
from proxy.explain import Explainer, find_key
from proxy.explainform import ExplainForm
from proxy.faults import switched_off
from proxy.handover import hand_over
from proxy.keyforms import KeyChanges, KeyForm, changes_of, check_fits, key_body, read_form, record_of
from proxy.pricelist import price_line, pricing
from proxy.probe import probe_over
from proxy.secret import Secret
from proxy.server import Route
from proxy.spanquery import SECOND_NS, iso
from proxy.storage.keys import KeyRecord, digest_of, new_key

if TYPE_CHECKING:
    from proxy.gateway import Gateway


class AdminEndpoints:
    """What the command line and the console ask of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._explainer = Explainer(gateway.app, gateway.pipeline, gateway.transport)
        self._wallets = WalletEndpoints(gateway)

    def routes(self, token: Secret | None) -> list[Route]:
        """token: None on the control socket, where nobody else gets in."""
        answers: list[tuple[str, str, Answer]] = [
            ("GET", "status", self.status),
            ("GET", "keys", self.keys),
            ("POST", "keys", self.create_key),
            ("GET", "keys/{name}", self.key),
            ("PATCH", "keys/{name}", self.update_key),
            ("DELETE", "keys/{name}", self.revoke_key),
            ("GET", "models", self.models),
            ("GET", "routes", self.list_routes),
            ("GET", "plugins", self.plugins),
            ("GET", "diagnosis", self.diagnosis),
            ("POST", "probes", self.probes),
            ("POST", "explain", self.explain),
            ("POST", "reload", self.reload),
            ("GET", "openapi.json", self.openapi),
        ]
        if token is None:
            answers.append(("POST", "handover", self.handover))
        answers += self._wallets.answers() + ReportEndpoints(self._gateway).answers()
        routes = [Route(method, PREFIX + path, json_handler(answer, token)) for method, path, answer in answers]
        return [*routes, Route("GET", f"{PREFIX}events", guarded(self.events, token))]

    async def status(self, request: web.Request) -> Mapping[str, Any]:
        gateway = self._gateway
        return {
            "pid": os.getpid(),
            "version": gateway.app.version,
            "address": gateway.address,
            "started_at": iso(gateway.started_ns // SECOND_NS),
            "problem": gateway.not_ready(),
            "config": str(await asyncio.to_thread(gateway.file.resolve)),
            "config_problem": gateway.app.reloads.problem(),
        }

    async def keys(self, request: web.Request) -> Mapping[str, Any]:
        return {"keys": [self._body(record) for record in self._records()]}

    async def key(self, request: web.Request) -> Mapping[str, Any]:
        record = self._find(request)
        return {**self._body(record), "left": await self._explainer.left(record)}

    async def create_key(self, request: web.Request) -> Mapping[str, Any]:
        form = read_form(KeyForm, await body_of(request))
        record, secret = await self.make_key(form)
        server, listening = self._gateway.snapshot.config.server, urlsplit(self._gateway.address)
        address = reachable(listening.hostname or server.host, listening.port or server.port)
        principal = record.admit(self._gateway.started_ns)
        return {
            **self._body(record),
            "key": secret,
            "example": example(self._gateway.snapshot, address, principal, secret),
        }

    async def make_key(self, form: KeyForm) -> tuple[KeyRecord, str]:
        """The new key's record, and the key itself, which nobody can tell again. Raises: BadRequest, LedgerUnavailable."""
        key = new_key()
        record = await asyncio.to_thread(record_of, form, digest_of(key), key[-4:], self._now_s())
        if record.expires_s is not None and record.expires_s <= self._now_s():
            raise BadRequest("The key would have expired already.", param="expires_at")
        if any(key.name == record.name for key in self._gateway.snapshot.config.keys):
            raise BadRequest(f"gateway.yaml has a key named {record.name!r}; take another name.", param="name")
        await self._check_fits(record)
        await self._gateway.app.keys.create(record)
        return record, key

    async def update_key(self, request: web.Request) -> Mapping[str, Any]:
        record = self._stored(request)
        if record.revoked_s is not None:
            raise BadRequest(f"The key {record.name!r} is revoked, for good; make another one.", param="name")
        form = read_form(KeyChanges, await body_of(request))
        changes = await asyncio.to_thread(changes_of, form, record)
        if not changes:
            raise BadRequest("Nothing to change was named.")
        await self._check_fits(replace(record, **changes))
        return self._body(await self._gateway.app.keys.update(record.name, changes))

    async def revoke_key(self, request: web.Request) -> Mapping[str, Any]:
        return self._body(await self._gateway.app.keys.revoke(self._stored(request).name))

    async def models(self, request: web.Request) -> Mapping[str, Any]:
        entries = self._gateway.snapshot.models.values()
        return {
            "models": [
                {
                    "name": entry.name,
                    "family": entry.family,
                    "aliases": list(entry.aliases),
                    "context_tokens": entry.context_tokens,
                    "max_output_tokens": entry.max_output_tokens if entry.task == "chat" else None,
                    "price": price_line(entry.price, entry.task),
                    "pricing": pricing(entry.price, entry.task),
                    "routes": [target.route for target in entry.pool],
                    "fallbacks": list(entry.fallbacks),
                }
                for entry in entries
            ]
        }

    async def list_routes(self, request: web.Request) -> Mapping[str, Any]:
        snapshot = self._gateway.snapshot
        now_ns = self._gateway.app.clock.monotonic_ns()
        rows = []
        for name, section in snapshot.config.models.items():
            entry = snapshot.models[name]
            for route in section.routes:
                route_name = route.name or route.provider
                serving = next((target for target in entry.pool if target.route == route_name), None)
                if serving is None:
                    state, reason, next_try = "resting", entry.resting.get(route_name, ""), None
                else:
                    state, reason, next_try = serving.health.standing(now_ns)
                rows.append(
                    {
                        "model": name,
                        "route": route_name,
                        "provider": route.provider,
                        "adapter": snapshot.config.providers[route.provider].adapter,
                        "upstream_model": route.model,
                        "priority": route.priority,
                        "weight": route.weight,
                        "state": state,
                        "reason": reason,
                        "next_try": next_try,
                    }
                )
        return {"routes": rows, "running": bool(self._gateway.address)}

    async def plugins(self, request: web.Request) -> Mapping[str, Any]:
        registry, off = self._gateway.registry, await switched_off(self._gateway.app.fleet)
        hooks = {name: sorted(registry.plugin_hooks(name)) for name in registry.names}
        hooks |= {name: [] for name in registry.plugin_names() if name not in hooks}
        return {
            "plugins": [
                {"name": name, "listed": name in registry.names, "hooks": its_hooks, "switched_off": off.get(name, [])}
                for name, its_hooks in hooks.items()
            ]
        }

    async def diagnosis(self, request: web.Request) -> Mapping[str, Any]:
        return {"findings": [asdict(finding) for finding in await diagnose(self._gateway)]}

    async def probes(self, request: web.Request) -> Mapping[str, Any]:
        return {"probes": [asdict(probe) for probe in await probe_over(self._gateway.transport, self._gateway.snapshot)]}

    async def explain(self, request: web.Request) -> Mapping[str, Any]:
        form = read_form(ExplainForm, await body_of(request))
        told = await self._explainer.explain(form.model, form.key, form.body)
        return {**asdict(told), "running": bool(self._gateway.address)}

    async def events(self, request: web.Request) -> web.StreamResponse:
        return await follow(request, self._gateway.app.events)

    async def openapi(self, request: web.Request) -> Mapping[str, Any]:
        return document(self._gateway.app.version)

    async def reload(self, request: web.Request) -> Mapping[str, Any]:
        try:
            await self._gateway.reload()
        except ConfigError as error:
            raise BadRequest(f"gateway.yaml was refused, the old one goes on: {error}", code="invalid_config") from None
        return {"status": "ok"}

    async def handover(self, request: web.Request) -> Mapping[str, Any]:
        """A new process, which waits beside the control socket, takes over."""
        if hdrs.FORWARDED in request.headers:
            raise NotFound("This is asked over the control socket alone.")
        await hand_over(self._gateway, self._gateway.control_path)
        return {"status": "ok"}

    async def _check_fits(self, record: KeyRecord) -> None:
        wallets = () if record.wallet is None else await self._wallets.names()
        check_fits(record, self._gateway.snapshot, self._gateway.registry, wallets)

    def _records(self) -> list[KeyRecord]:
        return [*self._gateway.snapshot.static_keys.values(), *self._gateway.app.keys.list()]

    def _find(self, request: web.Request) -> KeyRecord:
        return find_key(self._gateway.snapshot, self._gateway.app, request.match_info["name"])

    def _stored(self, request: web.Request) -> KeyRecord:
        """A key that can be changed here."""
        record = self._find(request)
        if record.digest in self._gateway.snapshot.static_keys:
            raise BadRequest(f"The key {record.name!r} stands in gateway.yaml: change it there.", param="name")
        return record

    def _body(self, record: KeyRecord) -> dict[str, Any]:
        source = "gateway.yaml" if record.digest in self._gateway.snapshot.static_keys else "store"
        return key_body(record, source, self._now_s())

    def _now_s(self) -> int:
        return self._gateway.app.clock.now_ns() // SECOND_NS
