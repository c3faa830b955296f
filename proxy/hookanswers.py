"""What answers of plugins must be beside their type, so that they break nobody who takes them later.

Each function says what an answer lacks, in the words of "answered … where … was expected"; "": nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from types import NoneType
from typing import get_type_hints

from proxy.chat import FINISH_REASONS, Extra, Finish, Part, ReasoningDelta, Started, TextDelta, ToolCallDelta, Usage
from proxy.context import Charge, Limits, Principal, RateLimit
from proxy.errors import GatewayError
from proxy.jsontext import dumps
from proxy.money import MAX_BUDGET_USD, MAX_NANOUSD
from proxy.replyheaders import sendable
from proxy.storage.keys import KeyRecord

_counts = attrgetter(*(name for name, kind in get_type_hints(Usage).items() if kind is int))
_MOST_TOKENS = 2**53
_MOST_BUDGET = MAX_BUDGET_USD * 10**9
_TEXT = (("text", str), ("index", int))
_MEMBERS: Mapping[type, tuple[tuple[str, type | tuple[type, ...]], ...]] = {
    Started: (("id", (str, NoneType)), ("created", (int, NoneType)), ("model", (str, NoneType)), ("fields", Mapping)),
    TextDelta: _TEXT,
    ReasoningDelta: _TEXT,
    ToolCallDelta: (
        *(("position", int), ("index", int), ("arguments", str)),
        *(("id", (str, NoneType)), ("name", (str, NoneType))),
    ),
    Extra: (("delta", Mapping), ("choice", Mapping), ("index", int)),
    Finish: (("reason", str), ("index", int)),
}


def principal_lacks(principal: Principal) -> str:
    """Its id is what budgets, wallets and the usage log know it by."""
    if not (principal.id and _is_text(principal.id)):
        return "Principal with an id, a text that UTF-8 can carry,"
    if not (principal.wallet is None or _is_text(principal.wallet)):
        return "Principal whose wallet is a name or None"
    if not all(map(_is_limits, (principal.budget, *principal.family_budgets.values()))):
        return "Principal whose budgets are Limits"
    sound = isinstance(principal.rate_limit, RateLimit) and isinstance(principal.record, (KeyRecord, NoneType))
    return "" if sound else "Principal with a RateLimit, and a KeyRecord or None,"


def charge_lacks(known: Usage | None, charge: Charge) -> str:
    """The ledger takes it as it is. known: the usage that the plugin was told of."""
    if not _is_amount(charge.amount_nanousd):
        return "Charge of whole nano-USD, 0 or more,"
    if charge.cost_nanousd is not None and not _is_amount(charge.cost_nanousd):
        return "Charge whose cost is whole nano-USD, 0 or more,"
    if charge.usage is not known and not _is_usage(charge.usage):
        return "Charge with its Usage"
    return "" if all(map(_is_text, (charge.price_line, charge.price, charge.family))) else "Charge whose texts are texts"


def part_lacks(part: Part) -> str:
    """It is written to the client as JSON."""
    for name, wanted in _MEMBERS[type(part)]:
        if not isinstance(getattr(part, name), wanted):
            return f"{type(part).__name__} with another {name}"
    if isinstance(part, Finish) and part.reason not in FINISH_REASONS:
        return "Finish for a reason of OpenAI's"
    try:
        dumps([dict(getattr(part, name)) for name, wanted in _MEMBERS[type(part)] if wanted is Mapping])
    except (TypeError, ValueError, RecursionError):
        return f"{type(part).__name__} that is JSON"
    return ""


def refusal_lacks(error: GatewayError) -> str:
    """A client is told of it."""
    try:
        dumps(error.body())
        headers = error.headers()
        told = all(map(_is_text, (error.message, error.code, error.type, error.detail)))
        told = told and type(error.status) is int and len(sendable(headers)) == len(headers)
    except Exception:  # whatever a plugin made of its class
        return "an error that a client can be told of"
    return "" if told and 400 <= error.status < 600 else "an error that a client can be told of"


def is_counted(usage: Usage) -> bool:
    """Whether its counts are integers, however wrong."""
    try:
        return type(sum(_counts(usage))) is int
    except TypeError:
        return False


def _is_limits(limits: object) -> bool:
    return isinstance(limits, Limits) and all(limit is None or _is_amount(limit, _MOST_BUDGET) for limit in limits)


def _is_usage(usage: object) -> bool:
    if not (isinstance(usage, Usage) and is_counted(usage)):
        return False
    counts: tuple[int, ...] = _counts(usage)
    return min(counts) >= 0 and max(counts) <= _MOST_TOKENS


def _is_amount(amount: object, most: int = MAX_NANOUSD) -> bool:
    return type(amount) is int and 0 <= amount <= most


def _is_text(text: object) -> bool:
    return isinstance(text, str) and (text.isascii() or _is_unicode(text))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
