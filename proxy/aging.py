"""What time does to a configuration: models that their vendors end, prices and exchange rates that nobody looked at lately."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime

from proxy.catalogue import CatalogueModel, CataloguePrice, catalogue
from proxy.clock import Clock
from proxy.config import Config, ModelConfig, PriceConfig

OLD_DAYS = 90
"""A price or an exchange rate of more days than this is worth another look."""


def today_of(clock: Clock) -> date:
    """The day in UTC."""
    return datetime.fromtimestamp(clock.now_ns() // 10**9, UTC).date()


def aging(config: Config, today: date) -> Iterator[str]:
    """A line for each thing that has aged, for the operator; none of them is an error."""
    for name, model in config.models.items():
        yield from _endings(name, model, today)
        yield from _prices(name, model, today)
    for currency, rate in config.exchange_rates.items():
        if age := _age(rate.date, today):
            yield f"the exchange rate for {currency} is {age}: write today's under exchange_rates"


def _endings(name: str, model: ModelConfig, today: date) -> Iterator[str]:
    routes: dict[str, list[str]] = defaultdict(list)
    for route in model.routes:
        if route.enabled is not False:
            routes[route.model].append(route.name or route.provider)
    for upstream, named in routes.items():
        known = catalogue().models.get(upstream)
        ending = None if known is None else _ending(known, today)
        if ending:
            yield f"model {name}: {upstream} {ending} (route {', '.join(named)}); `paifang models --catalogue` lists others"


def _ending(known: CatalogueModel, today: date) -> str | None:
    match known.status:
        case "retired":
            return f"was retired by its vendor on {known.ends}"
        case "retiring" if known.ends is not None:
            return f"{'is' if known.ends > today else 'was'} to be retired by its vendor on {known.ends}"
        case "retiring":
            return "is being retired by its vendor"
        case "unverified":
            return "may not be served by its vendor any more"
        case _:
            return None


def _prices(name: str, model: ModelConfig, today: date) -> Iterator[str]:
    if age := _dated(model.price, today):
        source = f" ({model.price.source})" if isinstance(model.price, CataloguePrice) else ""
        yield f"the price of model {name}{source} is {age}: compare it with the vendor's, and write it into gateway.yaml"
    for route in model.routes:
        if age := _dated(route.cost, today):
            yield f"the cost of model {name}'s route {route.name or route.provider} is {age}: compare it with the provider's"


def _dated(price: PriceConfig | None, today: date) -> str:
    return _age(price.date, today) if price is not None and price.date is not None else ""


def _age(of: date, today: date) -> str:
    """How old it is, in words; "" while it is young."""
    days = (today - of).days
    return f"of {of}, {days} days old" if days > OLD_DAYS else ""
