"""How a provider's credential goes onto a request: apart from translation, by the name an adapter gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.jwt import SENSENOVA_SPAN_S, ZHIPU_SPAN_S, sensenova_token, zhipu_token
from proxy.secret import Secret

if TYPE_CHECKING:
    from proxy.config import ProviderConfig

Signer = Callable[[Secret], dict[str, str]]


def _bearer(credential: Secret) -> dict[str, str]:
    return {"authorization": f"Bearer {credential.reveal()}"} if credential else {}


def _x_api_key(credential: Secret) -> dict[str, str]:
    return {"x-api-key": credential.reveal()} if credential else {}


def _raw(credential: Secret) -> dict[str, str]:
    return {"authorization": credential.reveal()} if credential else {}


def _none(credential: Secret) -> dict[str, str]:
    return {}


VOLCENGINE = "volcengine"
SIGNERS: Mapping[str, Signer] = {
    "bearer": _bearer,
    "x-api-key": _x_api_key,
    "raw": _raw,
    VOLCENGINE: _bearer,
    "none": _none,
}
"""{the name in `Adapter.signer`: credential → headers}. Of "volcengine" the credential may be made from an AK/SK."""

TOKENS: Mapping[str, tuple[int, Callable[[Secret, int], str]]] = {
    "zhipu_jwt": (ZHIPU_SPAN_S, zhipu_token),
    "sensenova_jwt": (SENSENOVA_SPAN_S, sensenova_token),
}
"""{name: (seconds that a token is used for, (credential, Unix seconds) → a token that goes on as a bearer)}."""


def sign(signer: str, credential: Secret, now_s: int) -> dict[str, str]:
    """The headers with a credential. Raises: UpstreamRejectedUs: it can't sign."""
    if signer in TOKENS and credential:
        credential = Secret(TOKENS[signer][1](credential, now_s))
        signer = "bearer"
    return SIGNERS[signer](credential) if credential else {}


def span_of(signer: str, now_s: int) -> int:
    """A number that stays the same as long as `sign` answers the same."""
    return now_s // TOKENS[signer][0] if signer in TOKENS else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """An AK/SK of Volcengine, and where it makes API keys."""

    id: Secret
    secret: Secret
    region: str
    project: str | None
    """Where the models are that have no endpoint of their own."""
    control_url: str


def access_key_of(section: ProviderConfig) -> AccessKey | None:
    """The AK/SK of a provider's section; None: it has none, or an empty one."""
    if not (section.access_key and section.secret_key):
        return None
    return AccessKey(
        id=section.access_key,
        secret=section.secret_key,
        region=section.region,
        project=section.project,
        control_url=section.control_url or f"https://ark.{section.region}.volcengineapi.com",
    )


def lacking(name: str, section: ProviderConfig) -> str:
    """What to set for a provider that has no credential: variables of the environment, or keys where none is read."""
    keys = ["access_key", "secret_key"] if credential_key(section) == "access_key" else ["api_key"]
    empty = {key: getattr(section, key) for key in keys if not getattr(section, key)}
    names = (what for key, secret in empty.items() for what in secret.variables or (f"providers.{name}.{key}",))
    return " and ".join(dict.fromkeys(names))


def credential_key(section: ProviderConfig) -> str:
    """The key of a provider's section that its credential is under, or would be."""
    written = section.model_fields_set
    return "access_key" if "access_key" in written and "api_key" not in written else "api_key"
