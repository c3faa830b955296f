"""The port of the key store: virtual keys made at run time, kept as digests."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from proxy.context import Limits, Principal, RateLimit
from proxy.errors import Unauthenticated

_BASE62 = string.digits + string.ascii_letters


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A virtual key without its secret."""

    name: str
    """Unique; budgets and usage are kept under it."""
    digest: str
    """SHA-256 of the key in lower hex."""
    hint: str = ""
    """The last four characters, to tell keys apart in lists."""
    families: frozenset[str] | None = None
    models: frozenset[str] | None = None
    wallet: str | None = None
    timezone: str = "UTC"
    budget: Limits = Limits()
    family_budgets: Mapping[str, Limits] = field(default_factory=dict)
    rate_limit: RateLimit = RateLimit()
    expires_s: int | None = None
    """Unix seconds; None: never."""
    created_s: int = 0
    revoked_s: int | None = None
    _static: Principal = field(init=False, compare=False, repr=False)
    """Who asks with it, as a key of gateway.yaml; `_stored`: as one of the store."""
    _stored: Principal = field(init=False, compare=False, repr=False)

    def refusal(self, now_ns: int) -> Unauthenticated | None:
        """Why nobody may ask with this key any more; None: somebody may."""
        if self.revoked_s is not None:
            return Unauthenticated("This API key has been revoked.", code="key_revoked")
        if self.expires_s is not None and now_ns >= self.expires_s * 1_000_000_000:
            return Unauthenticated("This API key has expired.", code="key_expired")
        return None

    def admit(self, now_ns: int, *, stored: bool = False) -> Principal:
        """Who asks with this key. Raises: Unauthenticated: it is revoked or has expired.

        stored: it is one of the KeyStore's, which is asked again when something is reserved.
        """
        if refusal := self.refusal(now_ns):
            raise refusal
        return self._stored if stored else self._static

    def __post_init__(self) -> None:
        static = Principal(
            id=self.name,
            families=self.families,
            models=self.models,
            wallet=self.wallet,
            timezone=self.timezone,
            budget=self.budget,
            family_budgets=self.family_budgets,
            rate_limit=self.rate_limit,
        )
        object.__setattr__(self, "_static", static)
        object.__setattr__(self, "_stored", replace(static, record=self))


def digest_of(key: str) -> str:
    """SHA-256 of a key in lower hex: all of it that is ever stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def new_key() -> str:
    """A key nobody can guess: `sk-pf-` and 43 base62 characters, 256 bits."""
    return "sk-pf-" + "".join(secrets.choice(_BASE62) for _ in range(43))


def is_of_chat(name: str) -> bool:
    """Whether it is the name of a key that `paifang chat` makes for one conversation, and revokes when that ends."""
    return re.fullmatch(r"chat-[0-9a-f]{8}", name) is not None


class KeyStore(Protocol):
    """Keys made with `paifang keys create` and in the console."""

    def find(self, digest: str) -> KeyRecord | None:
        """The key of this digest, revoked and expired ones included. Answers from memory: the hot path calls it."""
        ...

    def list(self) -> Sequence[KeyRecord]:
        """Every key, oldest first."""
        ...

    async def create(self, record: KeyRecord) -> None:
        """Add a key. Raises: BadRequest (name taken), LedgerUnavailable."""
        ...

    async def update(self, name: str, changes: Mapping[str, Any]) -> KeyRecord:
        """Change fields of KeyRecord by name. Raises: NotFound, LedgerUnavailable."""
        ...

    async def revoke(self, name: str) -> KeyRecord:
        """End a key for good. Raises: NotFound, LedgerUnavailable."""
        ...
