"""How a provider's credential goes onto a request: apart from translation, by the name an adapter gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from proxy.secret import Secret

Signer = Callable[[Secret], dict[str, str]]


def _bearer(credential: Secret) -> dict[str, str]:
    return {"authorization": f"Bearer {credential.reveal()}"} if credential else {}


def _x_api_key(credential: Secret) -> dict[str, str]:
    return {"x-api-key": credential.reveal()} if credential else {}


def _none(credential: Secret) -> dict[str, str]:
    return {}


SIGNERS: Mapping[str, Signer] = {"bearer": _bearer, "x-api-key": _x_api_key, "none": _none}
"""{the name in `Adapter.signer`: credential → headers}."""
