"""Money: integer nano-USD, and price × usage in exact integers.

A price is exact decimal text per 1M tokens, kept as integer pico-units of its currency per token (0.70 per 1M = 700,000
pico per token). A charge is the sum of tokens × price, times the exchange rate as a fraction, with one ceiling to nano-USD
per request. No floats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from operator import attrgetter, mul
from typing import Any

from proxy.chat import NO_CALLS, Usage

MAX_NANOUSD = 10**15
"""One million USD: no single amount is larger."""
MAX_BUDGET_USD = 10**9
"""No budget is larger; the ledger counts in 64 bits."""
ONE = Fraction(1)
SYMBOLS = {"USD": "$", "CNY": "¥"}


def usd_to_nano(usd: Decimal) -> int:
    """Exact nano-USD. Raises: ValueError: more than nine decimals."""
    return scaled(usd, 9)


def nano_to_usd(nanousd: int) -> str:
    """Exact decimal USD with at least two decimals and no exponent: "0.02", "1.00", "0.000012345"."""
    return _decimal(nanousd, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Rates of requests up to a length, in pico-units per token. None: no end."""

    up_to_input_tokens: int | None = None
    up_to_output_tokens: int | None = None
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    audio_input: int = 0
    output: int = 0
    reasoning: int = 0
    audio_output: int = 0

    def covers(self, input_tokens: int, output_tokens: int) -> bool:
        return (self.up_to_input_tokens is None or input_tokens <= self.up_to_input_tokens) and (
            self.up_to_output_tokens is None or output_tokens <= self.up_to_output_tokens
        )

    @property
    def rates(self) -> tuple[int, ...]:
        """In the order of `_counts`."""
        return tuple(getattr(self, name) for name in RATES)


INPUT_RATES = ("input", "cached_input", "cache_write", "audio_input")
OUTPUT_RATES = ("output", "reasoning", "audio_output")
SIDES = (INPUT_RATES, OUTPUT_RATES)
RATES = INPUT_RATES + OUTPUT_RATES
LABELS = ("", "cached ", "cache-write ", "audio-input ", "", "reasoning ", "audio-output ")


Terms = tuple[tuple[tuple[int, ...], str], ...]
"""(which of the counts are added up, " × $0.70/M") of each rate."""


def _counts(usage: Usage) -> tuple[int, ...]:
    """Tokens of each kind, disjoint, none negative, in the order of RATES."""
    parts: tuple[int, ...] = (
        usage.cached_input_tokens, usage.cache_write_tokens, usage.audio_input_tokens,
        usage.reasoning_tokens, usage.audio_output_tokens,
    )  # fmt: skip
    if min(parts) < 0:
        parts = tuple(max(0, count) for count in parts)
    cached, written, heard, thought, spoken = parts
    plain_input = max(0, usage.input_tokens - cached - written - heard)
    plain_output = max(0, usage.output_tokens - thought - spoken)
    return plain_input, cached, written, heard, plain_output, thought, spoken


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What tokens and calls of built-in tools cost, in one currency."""

    currency: str = "USD"
    tiers: tuple[Tier, ...] = (Tier(),)
    """A whole request has the rates of the first tier that covers both its lengths, else of the last one."""
    usd: Fraction = ONE
    """USD for one unit of the currency."""
    usd_date: str = ""
    """The day of that exchange rate, "" for USD."""
    tools: Mapping[str, int] = field(default_factory=dict)
    """{name of a provider's built-in tool: pico-units a call}."""
    service_tiers: Mapping[str, Fraction] = field(default_factory=dict)
    """{service tier: factor on the whole}."""
    stamp: str = field(init=False, compare=False, repr=False)
    """All of it as JSON, to be kept with each charge."""
    _nano: Mapping[str | None, tuple[int, int]] = field(init=False, compare=False, repr=False)
    """{service tier: pico-units → nano-USD, as numerator and denominator}."""
    _rates: tuple[tuple[Tier, tuple[int, ...], Terms], ...] = field(init=False, compare=False, repr=False)
    _dearest: tuple[tuple[int, int], ...] = field(init=False, compare=False, repr=False)
    """Per tier, the highest rate of an input token and of an output token."""
    _dearest_nano: tuple[int, int] = field(init=False, compare=False, repr=False)
    """Of the service tiers' scales, the highest."""

    def __post_init__(self) -> None:
        factors: dict[str | None, Fraction] = {None: ONE}
        factors.update(self.service_tiers)
        scales = {name: factor * self.usd / 1000 for name, factor in factors.items()}
        fixed = {name: (scale.numerator, scale.denominator) for name, scale in scales.items()}
        object.__setattr__(self, "_nano", fixed)
        rates = tuple((tier, tier.rates, tuple(_terms(tier.rates, self._sign))) for tier in self.tiers)
        sides = len(INPUT_RATES)
        highest = max(scales.values())
        object.__setattr__(self, "_rates", rates)
        object.__setattr__(self, "_dearest", tuple((max(some[:sides]), max(some[sides:])) for _, some, _ in rates))
        object.__setattr__(self, "_dearest_nano", (highest.numerator, highest.denominator))
        object.__setattr__(self, "stamp", json.dumps(self.per_million(), sort_keys=True))

    @property
    def free(self) -> bool:
        """Whether nothing of it costs anything."""
        return not (any(self.tools.values()) or any(any(rates) for _, rates, _ in self._rates))

    def amount_nanousd(self, usage: Usage) -> int:
        """What this usage costs: one ceiling, at most MAX_NANOUSD."""
        rates, _ = self._rates_of(usage)
        return self._amount(usage, _counts(usage), rates)

    def bill(self, usage: Usage) -> tuple[int, str]:
        """What this usage costs in nano-USD, and how that comes about: "20,000 × ¥3.20/M + 400 × ¥16.00/M, at 0.1406 USD/CNY of
        2026-11-20"."""
        counts = _counts(usage)
        rates, made_of = self._rates_of(usage)
        return self._amount(usage, counts, rates), self._line(usage, counts, made_of)

    def bound_nanousd(self, input_tokens: int, output_tokens: int, *, tool_calls: Mapping[str, int] = NO_CALLS) -> int:
        """The most that any usage within these numbers can cost, whatever its parts, its tier and its service tier.

        Within a tier the cost grows with both lengths, so its dearest request is the longest one it allows; a tier whose
        longest request falls into an earlier tier is out of reach.
        """
        most, last = 0, len(self.tiers) - 1
        for position, (tier, (dearest_input, dearest_output)) in enumerate(zip(self.tiers, self._dearest, strict=True)):
            longest_input, longest_output = input_tokens, output_tokens
            if position < last:
                longest_input = min(input_tokens, _or(tier.up_to_input_tokens, input_tokens))
                longest_output = min(output_tokens, _or(tier.up_to_output_tokens, output_tokens))
            if position and any(earlier.covers(longest_input, longest_output) for earlier in self.tiers[:position]):
                continue
            most = max(most, longest_input * dearest_input + longest_output * dearest_output)
        return _ceiling(most + self._fees(tool_calls), self._dearest_nano)

    def _amount(self, usage: Usage, counts: tuple[int, ...], rates: tuple[int, ...]) -> int:
        pico = sum(map(mul, counts, rates)) + self._fees(usage.tool_calls)
        return _ceiling(pico, self._nano.get(usage.service_tier) or self._nano[None])

    def _line(self, usage: Usage, counts: tuple[int, ...], made_of: Terms) -> str:
        terms = [f"{count:,}{text}" for kinds, text in made_of if (count := sum(map(counts.__getitem__, kinds)))]
        for name, count in usage.tool_calls.items():
            terms.append(f"{count:,} {name} calls × {self._sign}{_decimal(self.tools.get(name, 0), 12)}")
        text = " + ".join(terms) or "nothing"
        if usage.service_tier is not None and usage.service_tier in self.service_tiers:
            text = f"({text}) × {_ratio(self.service_tiers[usage.service_tier])} for {usage.service_tier}"
        return f"{text}, at {_ratio(self.usd)} USD/{self.currency} of {self.usd_date}" if self.usd_date else text

    def per_million(self) -> dict[str, Any]:
        """For people and programs that compare prices: decimal text per 1M tokens, only what differs from its default."""
        prices: dict[str, Any] = {"currency": self.currency, **_rates_per_million(self.tiers[0])}
        if len(self.tiers) > 1:
            prices["tiers"] = [
                {
                    "up_to_input_tokens": tier.up_to_input_tokens,
                    "up_to_output_tokens": tier.up_to_output_tokens,
                    **_rates_per_million(tier),
                }
                for tier in self.tiers
            ]
        if self.tools:
            prices["tools"] = {name: _decimal(pico, 12) for name, pico in self.tools.items()}
        if self.service_tiers:
            prices["service_tiers"] = {name: _ratio(factor) for name, factor in self.service_tiers.items()}
        if self.usd_date:
            prices["exchange_rate"] = {"usd": _ratio(self.usd), "date": self.usd_date}
        return prices

    @property
    def _sign(self) -> str:
        return SYMBOLS.get(self.currency, f"{self.currency} ")

    def _rates_of(self, usage: Usage) -> tuple[tuple[int, ...], Terms]:
        if len(self._rates) == 1:
            return self._rates[0][1:]
        for tier, rates, terms in self._rates:
            if tier.covers(usage.input_tokens, usage.output_tokens):
                return rates, terms
        return self._rates[-1][1:]

    def _fees(self, tool_calls: Mapping[str, int]) -> int:
        if not tool_calls:
            return 0
        return sum(max(0, count) * self.tools.get(name, 0) for name, count in tool_calls.items())


IMAGE = "image"
"""Earlier versions had a price and a count of images made; of theirs, one is read as a call of a tool with this name."""
ALSO = ("cache_write_tokens", "audio_input_tokens", "audio_output_tokens")
_also = attrgetter(*ALSO)


def also_counted(usage: Usage) -> str:
    """What makes a price beside input, cached input, output and reasoning, as JSON; "" where there is nothing."""
    if usage.service_tier is None and not usage.tool_calls and not any(_also(usage)):
        return ""
    found: dict[str, Any] = {name: count for name, count in zip(ALSO, _also(usage), strict=True) if count}
    if usage.tool_calls:
        found["tool_calls"] = dict(usage.tool_calls)
    if usage.service_tier is not None:
        found["service_tier"] = usage.service_tier
    return json.dumps(found, sort_keys=True)


def usage_of(kept: Mapping[str, Any]) -> Usage:
    """A Usage out of its fields, as any version kept them. Raises: TypeError: they are others."""
    fields = dict(kept)
    if images := fields.pop("images", 0):
        fields["tool_calls"] = {**fields.get("tool_calls", {}), IMAGE: images}
    return Usage(**fields)


def price_of(stamp: Mapping[str, Any]) -> Price:
    """The price that a stamp tells of: the inverse of `Price.per_million`. Raises: KeyError, ValueError, TypeError."""
    tiers = stamp.get("tiers") or [stamp]
    exchange = stamp.get("exchange_rate") or {"usd": "1", "date": ""}
    tools = stamp.get("tools", {})
    if "image" in stamp:
        tools = {**tools, IMAGE: stamp["image"]}
    return Price(
        currency=stamp["currency"],
        tiers=tuple(
            Tier(
                up_to_input_tokens=tier.get("up_to_input_tokens"),
                up_to_output_tokens=tier.get("up_to_output_tokens"),
                **{name: scaled(Decimal(tier.get(name, tier[side[0]])), 6) for side in SIDES for name in side},
            )
            for tier in tiers
        ),
        usd=Fraction(Decimal(exchange["usd"])),
        usd_date=exchange["date"],
        tools={name: scaled(Decimal(usd), 12) for name, usd in tools.items()},
        service_tiers={name: Fraction(Decimal(factor)) for name, factor in stamp.get("service_tiers", {}).items()},
    )


def _ceiling(pico: int, scale: tuple[int, int]) -> int:
    numerator, denominator = scale
    return min(-(-pico * numerator // denominator), MAX_NANOUSD)


def _terms(rates: tuple[int, ...], sign: str) -> Iterator[tuple[tuple[int, ...], str]]:
    """A kind without a rate of its own is counted with the plain tokens of its side."""
    for base, end in ((0, len(INPUT_RATES)), (len(INPUT_RATES), len(RATES))):
        plain = tuple(kind for kind in range(base, end) if rates[kind] == rates[base])
        for kinds in (plain, *((kind,) for kind in range(base, end) if kind not in plain)):
            yield kinds, f" {LABELS[kinds[0]]}× {sign}{_decimal(rates[kinds[0]], 6)}/M"


def _rates_per_million(tier: Tier) -> dict[str, str]:
    return {
        name: _decimal(getattr(tier, name), 6)
        for side in (INPUT_RATES, OUTPUT_RATES)
        for name in side
        if name == side[0] or getattr(tier, name) != getattr(tier, side[0])
    }


def _or(limit: int | None, otherwise: int) -> int:
    return otherwise if limit is None else limit


def scaled(amount: Decimal, decimals: int) -> int:
    """amount × 10^decimals. Raises: ValueError: it is negative, or not whole."""
    exact = Fraction(amount) * 10**decimals
    if exact < 0:
        raise ValueError(f"{amount} is negative")
    if exact.denominator != 1:
        raise ValueError(f"{amount} has more than {decimals} decimals")
    return int(exact)


@lru_cache(maxsize=1024)
def _decimal(scaled: int, decimals: int) -> str:
    whole, rest = divmod(abs(scaled), 10**decimals)
    digits = f"{rest:0{decimals}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if scaled < 0 else ''}{whole}.{digits}"


def _ratio(ratio: Fraction) -> str:
    """A fraction that was read from decimal text, as decimal text."""
    return f"{(Decimal(ratio.numerator) / Decimal(ratio.denominator)).normalize():f}"


FREE = Price()
"""Costs nothing."""
