"""Calling providers with the cheapest request there is: each once for `paifang check --live`, routes for their health."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Any

from proxy.adapter import Emit, Send, Wait, header, open_exchange
from proxy.chat import ChatRequest, Task
from proxy.context import Target
from proxy.credentials import credential_key
from proxy.endpoints.tasks import question
from proxy.errors import ClientCertificateRefused, GatewayError, PluginFault, Problem, UpstreamBusy, UpstreamError
from proxy.faults import described, is_own_cancellation, place_of
from proxy.snapshot import Provider, Snapshot
from proxy.targets import route_name_of
from proxy.upstream import AiohttpTransport, Transport
from proxy.yamltext import Document, Place, render_path

USER_AGENT = f"paifang/{version('paifang')}"
LONGEST_S = 30
ADVICE = {
    "upstream_unreachable": "Check base_url, this machine's network and its DNS.",
    "upstream_timeout": "Check base_url, and whether a firewall drops what goes there.",
    "upstream_error": "Check that base_url is the API's address, version path included.",
}
"""{our code: what to do about it}, where the error's own message, which a client gets, doesn't say."""
CERTIFICATE_ADVICE = "Name one that it has been told of, and that has not expired, in providers.{provider}.tls (cert, key)."
_TO_CLIENTS = re.compile(r"; (?:its|the gateway's) operator (?:must|can) (\w)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came of calling a provider."""

    provider: str
    result: str
    """"ok", "refused", or "skipped": there was nothing to call."""
    message: str
    code: str = ""
    upstream: Mapping[str, Any] = field(default_factory=dict)
    """The provider's own {"status", "code", "request_id"}, as far as known."""
    at: Place = ()
    """What of gateway.yaml the remedy is about."""
    clock_ahead_s: int | None = None
    """How far this machine's clock was ahead of the provider's; None where that said no time."""

    def problem(self, document: Document) -> Problem:
        """The refusal, with its place in gateway.yaml."""
        return Problem(render_path(self.at), self.message, *document.key_place(self.at))


async def probe_all(snapshot: Snapshot) -> list[Probe]:
    """As `probe_over`, over connections of its own."""
    transport = AiohttpTransport(USER_AGENT)
    try:
        return await probe_over(transport, snapshot)
    finally:
        await transport.close()


async def probe_over(transport: Transport, snapshot: Snapshot) -> list[Probe]:
    """Ask every provider at once, one route each. A route and a credential that answer are left alone no longer."""
    return await asyncio.gather(*(_probe(snapshot, provider, transport) for provider in snapshot.providers.values()))


async def _probe(snapshot: Snapshot, provider: Provider, transport: Transport) -> Probe:
    if not provider.active:
        return Probe(provider=provider.name, result="skipped", message="it has no credential")
    if provider.adapter.simulated:
        return Probe(provider=provider.name, result="skipped", message="it makes its answers up, offline")
    routes = ((entry.task, target) for entry in snapshot.models.values() for target in entry.pool)
    found = next((route for route in routes if route[1].provider == provider.name), None)
    if found is None:
        return Probe(provider=provider.name, result="skipped", message="no enabled route uses it")
    task, target = found
    ahead_s: list[float] = []
    probe = await _asked(provider, target, cheapest(task, target), transport, ahead_s)
    at = probe.at or (_remedied(snapshot, target, probe.code) if probe.result == "refused" else ())
    return replace(probe, at=at, clock_ahead_s=round(ahead_s[-1]) if ahead_s else None)


async def _asked(provider: Provider, target: Target, chat: ChatRequest, transport: Transport, ahead_s: list[float]) -> Probe:
    try:
        await ask(provider, target, chat, transport, ahead_s)
    except UpstreamBusy as error:
        message = f"it answers, and is busy now: {error.message}"
        return Probe(provider=provider.name, result="ok", message=message, code=error.code, upstream=error.upstream)
    except ClientCertificateRefused as error:
        message = f"{error.message} {CERTIFICATE_ADVICE.format(provider=provider.name)}"
        at = ("providers", provider.name, "tls")
        return Probe(provider=provider.name, result="refused", message=message, code=error.code, at=at)
    except GatewayError as error:
        upstream = error.upstream if isinstance(error, UpstreamError) else {}
        message = " ".join(filter(None, (to_operator(error.message), ADVICE.get(error.code))))
        return Probe(provider=provider.name, result="refused", message=message, code=error.code, upstream=upstream)
    except BaseException as error:  # whatever an adapter may raise
        if is_own_cancellation(error):
            raise
        message = f"the adapter {target.adapter!r} failed at {place_of(error)}: {described(error)}"
        return Probe(provider=provider.name, result="refused", message=message, code=PluginFault.code)
    message = f"{target.upstream_model} answers"
    if reasons := [reason for circuit in (target.health.credential, target.health) if (reason := circuit.vouch())]:
        message += f"; it was left alone ({', '.join(reasons)}), and from now on requests are sent there again"
    return Probe(provider=provider.name, result="ok", message=message)


def to_operator(message: str) -> str:
    """A message that sends clients to the operator, for the operator."""
    return _TO_CLIENTS.sub(lambda found: f". {found[1].upper()}", message)


def _remedied(snapshot: Snapshot, target: Target, code: str) -> Place:
    """Where in gateway.yaml the remedy for one of our codes is."""
    provider = ("providers", target.provider)
    match code:
        case "upstream_auth_failed":
            return (*provider, credential_key(snapshot.config.providers[target.provider]))
        case "upstream_model_unavailable":
            names = [route_name_of(route) for route in snapshot.config.models[target.model].routes]
            return ("models", target.model, "routes", names.index(target.route), "model")
        case _:
            return (*provider, "base_url") if code in ADVICE else provider


def cheapest(task: Task, target: Target) -> ChatRequest:
    """The smallest request that a route answers."""
    body = {"model": target.model, "max_completion_tokens": 1} if task == "chat" else {"model": target.model}
    return question(task, body)


async def ask(
    provider: Provider, target: Target, chat: ChatRequest, transport: Transport, ahead_s: list[float] | None = None
) -> None:
    """Hear the answer, of one token at most, to its end. Raises: UpstreamError, BadRequest.

    ahead_s: gets how far this machine's clock is ahead at each response.
    """
    exchange = open_exchange(provider.adapter, chat, replace(target, output_cap=1))
    deadline_s = asyncio.get_running_loop().time() + LONGEST_S
    while True:
        match exchange.next():
            case Send() as request:
                response = await transport.send(provider, target, request, deadline_s)
                if ahead_s is not None:
                    with suppress(ValueError):
                        told = parsedate_to_datetime(header(response.headers, "Date")).astimezone(UTC)
                        ahead_s.append((datetime.now(UTC) - told).total_seconds())
                try:
                    exchange.feed_head(response.status, response.headers)
                    while data := await response.read():
                        exchange.feed_data(data)
                    exchange.feed_eof()
                finally:
                    await response.close()
            case Wait(seconds=seconds):
                await asyncio.sleep(seconds)
            case Emit():
                continue
            case _:
                return
