"""The log of `serve`: standard error, for people on a terminal, else a JSON object a line. No secret leaves by it."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable, Iterable
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from proxy.secret import Secret
from proxy.snapshot import Snapshot

_CREDENTIAL = re.compile(
    r"(?P<before>\bbearer\s+|\bx-api-key[\"']?\s*[:=]\s*[\"']?|://[^\s/:@]+:)[^\s\"',@]+|\bsk-[A-Za-z0-9_-]{8,}",
    re.IGNORECASE,
)
SHORTEST_SECRET = 8
"""A shorter text would blot out words of every line."""


class Redaction:
    """Blots out what looks like a credential, and every secret that gateway.yaml has, wherever it stands in a line."""

    def __init__(self, secrets: Callable[[], Iterable[Secret]]) -> None:
        self._secrets = secrets

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        texts = [secret.reveal() for secret in self._secrets()]
        known = [text for text in texts if len(text) >= SHORTEST_SECRET]
        return {name: self._clean(value, known) for name, value in event.items()}

    def _clean(self, value: object, known: list[str]) -> object:
        if isinstance(value, dict):
            return {name: self._clean(inner, known) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._clean(inner, known) for inner in value]
        if not isinstance(value, str):
            return value
        for text in known:
            value = value.replace(text, "*****")
        return _CREDENTIAL.sub(lambda found: f"{found['before'] or ''}*****", value)


def secrets_of(snapshot: Snapshot) -> list[Secret]:
    """Every secret of a configuration."""
    config = snapshot.config
    keys = [key.key for key in config.keys]
    redis = [config.redis.url] if config.redis.url else []
    return [*(provider.credential for provider in snapshot.providers.values()), *keys, *redis, config.admin.token]


def log_to(
    stream: TextIO | None = None,
    *,
    level: int = logging.INFO,
    secrets: Callable[[], Iterable[Secret]] = list,
) -> None:
    """Send the gateway's log, and the warnings of the libraries it uses, to this stream or to standard error."""
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        Redaction(secrets),
    ]
    if stream.isatty():
        render: Processor = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        render = structlog.processors.JSONRenderer(serializer=lambda event, **_: orjson.dumps(event, default=str).decode())
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render], foreign_pre_chain=shared
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
