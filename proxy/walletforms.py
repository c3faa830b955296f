"""Wallets as the admin API takes and shows them: exact decimal text in, nano-USD, exact decimal text out."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from proxy.errors import BadRequest
from proxy.money import MAX_NANOUSD, nano_to_usd, usd_to_nano
from proxy.storage.wallets import Wallet

_SIGNED = re.compile(r"[+-]?[0-9]{1,10}(\.[0-9]{1,9})?")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REQUEST = "req_"
"""How our requests' ids begin: an operation's must be told from them in the ledger."""


def _amount(value: Any) -> int:
    # A JSON number may have been a float before it came here.
    if not isinstance(value, str) or not _SIGNED.fullmatch(value):
        raise PydanticCustomError("money", 'expected an amount of USD as text such as "5.00", with at most nine decimals')
    nanousd = usd_to_nano(abs(Decimal(value)))
    if nanousd > MAX_NANOUSD:
        raise PydanticCustomError("money", f"expected at most {nano_to_usd(MAX_NANOUSD)} USD at a time")
    return -nanousd if value.startswith("-") else nanousd


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError("text", "expected one line of text, without characters that can't be seen")
    return value


NanoUsd = Annotated[
    int, BeforeValidator(_amount), WithJsonSchema({"type": "string", "pattern": f"^{_SIGNED.pattern}$", "examples": ["25.00"]})
]
Told = Annotated[StrictStr, Field(min_length=1, max_length=256), AfterValidator(_printable)]


class WalletForm(BaseModel):
    """POST of a wallet."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: StrictStr
    """1 to 64 letters, digits, dots, dashes or underscores."""


class MoveForm(BaseModel):
    """POST of a credit or an adjustment."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    amount_usd: NanoUsd
    """Exact decimal text, with at most nine decimals; an adjustment may be negative."""
    reason: Told
    """Kept with the entry."""
    actor: Told = "admin"
    """Who does it; kept with the entry."""
    id: Told | None = None
    """The operation's id: repeating one changes nothing. Left out, it gets one, and the answer tells it."""


def checked_name(name: str) -> str:
    """Raises: BadRequest."""
    if not _NAME.fullmatch(name):
        raise BadRequest("A wallet's name has 1 to 64 letters, digits, dots, dashes or underscores.", param="name")
    return name


def checked_move(form: MoveForm, *, signed: bool) -> MoveForm:
    """signed: it may take away. Raises: BadRequest."""
    if form.amount_usd == 0 or (form.amount_usd < 0 and not signed):
        told = "An adjustment is not 0." if signed else "A credit is above 0; to take money away, adjust the wallet."
        raise BadRequest(told, param="amount_usd")
    if form.id is not None and form.id.startswith(_REQUEST):
        raise BadRequest("An operation's id doesn't begin like a request's, with req_.", param="id")
    return form


def wallet_body(wallet: Wallet, source: str) -> dict[str, Any]:
    """A wallet as JSON; `funded_usd` is what credits and adjustments come to. source: "store" or "gateway.yaml"."""
    return {
        "name": wallet.name,
        "source": source,
        "balance_usd": nano_to_usd(wallet.balance),
        "held_usd": nano_to_usd(wallet.held),
        "available_usd": nano_to_usd(wallet.balance - wallet.held),
        "funded_usd": nano_to_usd(wallet.credited),
        "spent_usd": nano_to_usd(wallet.spent),
    }
