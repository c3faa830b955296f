"""What a caller is told when a budget or a wallet can't cover a request."""

from __future__ import annotations

from datetime import UTC, datetime

from proxy.errors import BudgetExhausted, RequestError, WalletEmpty
from proxy.money import nano_to_usd
from proxy.storage.ledger import Window


def refusal(window: Window, end_s: int, limit_nanousd: int, left_nanousd: int, asked_nanousd: int) -> RequestError:
    """limit_nanousd: of the budget, or a wallet's credit. asked_nanousd: the most the request may cost."""
    asked = _usd(asked_nanousd)
    if window.period == "lifetime":
        name = window.scope.partition(":")[2]
        return WalletEmpty(
            f"The wallet {name!r} has {_usd(left_nanousd)} left; this request may cost up to {asked}. Top it up"
            f"{', or ask for less.' if left_nanousd > 0 else '.'}",
            param=window.param,
        )
    told = (
        f"The {_whose(window)} {window.period} budget of {_usd(limit_nanousd)} has {_usd(max(0, left_nanousd))} left; this "
        f"request may cost up to {asked}. "
    )
    if asked_nanousd > limit_nanousd:
        advice = "The whole budget would not cover it: lower max_tokens, or send a shorter prompt."
    else:
        resets = datetime.fromtimestamp(end_s, UTC).isoformat()
        advice = f"It resets at {resets}{'; until then, lower max_tokens.' if left_nanousd > 0 else '.'}"
    return BudgetExhausted(told + advice, param=window.param)


def _whose(window: Window) -> str:
    owner, _, family = window.scope.partition("/family:")
    name = f"{owner.partition(':')[0]}'s"
    return f"{name} {family}" if family else name


def _usd(nanousd: int) -> str:
    text = nano_to_usd(abs(nanousd))
    return f"-${text}" if nanousd < 0 else f"${text}"
