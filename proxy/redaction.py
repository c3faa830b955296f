"""Credentials blotted out of what others wrote: a provider may quote our key back at us."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proxy.errors import GatewayError, UpstreamError
from proxy.secret import Secret

if TYPE_CHECKING:
    from proxy.config import Config
    from proxy.snapshot import Provider, Snapshot

MASK = "*****"
SHORTEST_SECRET = 8
"""A shorter text would blot out words of every line."""
_CREDENTIAL = re.compile(
    r"(?P<before>\bbearer\s+|\bx-api-key[\"']?\s*[:=]\s*[\"']?|://[^\s/:@]+:)[^\s\"',@]+|\bsk-[A-Za-z0-9_-]{8,}"
    r"|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+",
    re.IGNORECASE,
)


def redacted(value: Any, secrets: Iterable[Secret]) -> Any:
    """The same text, or data with texts in it, without these secrets and without what looks like a credential."""
    texts = [secret.reveal() for secret in secrets]
    return _clean(value, [text for text in texts if len(text) >= SHORTEST_SECRET])


def redact_error(error: GatewayError, snapshot: Snapshot, made: Iterable[Secret] = ()) -> None:
    """Clean what an error says beside its own message, before a log, a plugin or a client gets it. made: temporary keys."""
    secrets = (*snapshot.secrets, *made)
    if error.detail:
        error.detail = redacted(error.detail, secrets)
    if isinstance(error, UpstreamError) and error.upstream:
        error.upstream = redacted(error.upstream, secrets)


def secrets_of(config: Config, providers: Iterable[Provider]) -> tuple[Secret, ...]:
    """Every secret of a configuration."""
    providers = tuple(providers)
    keys = [key.key for key in config.keys]
    redis = [config.redis.url] if config.redis.url else []
    pairs = [half for provider in providers if provider.access for half in (provider.access.id, provider.access.secret)]
    proxies = [Secret(password) for provider in providers if provider.proxy and (password := _password(provider.proxy))]
    return (*(provider.credential for provider in providers), *pairs, *proxies, *keys, *redis, config.admin.token)


def _password(url: Secret) -> str | None:
    return urlsplit(url.reveal()).password


def _clean(value: Any, known: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _clean(inner, known) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(inner, known) for inner in value]
    if not isinstance(value, str):
        return value
    for text in known:
        value = value.replace(text, MASK)
    return _CREDENTIAL.sub(lambda found: f"{found['before'] or ''}{MASK}", value)
