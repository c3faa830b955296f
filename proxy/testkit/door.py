"""Door: one adapter under test, and how its provider spells what the scenarios say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from proxy.adapter import Adapter, Exchange
from proxy.chat import ChatRequest
from proxy.context import Target
from proxy.endpoints.chat import parse
from proxy.jsontext import dumps
from proxy.money import Price
from proxy.testkit.scenarios import CALLS, FAILURES, SCENARIOS, Call, Scenario
from proxy.testkit.wire import Reply

MODEL = "model-of-the-client"
OUTPUT_CAP = 1234
"""What the budget was held for, and the client's own cap is above."""

LIMITS = {
    "framing": "its streams come from one server only, and always look the same",
    "output_cap": "it takes no output cap",
    "pieces": "its streams say a text or a call whole",
    "retry_after": "it never says when to come back",
    "usage": "it doesn't count tokens",
}
"""What `cannot` may name beside scenarios, fields and built-in checks."""

ANSWERED = tuple(told.name for told in (*SCENARIOS, *FAILURES))


@dataclass(frozen=True, kw_only=True)
class Door:
    """An adapter, with the wire bytes of its provider for each scenario.

    A provider that is asked several times in one exchange (a job that is handed in, then polled) has a list of replies, in
    the order of the requests.
    """

    adapter: Adapter
    answers: Mapping[str, Reply | Sequence[Reply]]
    """Of SCENARIOS and FAILURES, by name."""
    cannot: Mapping[str, str] = field(default_factory=dict)
    """Names of scenarios, fields and LIMITS that this door can't do → why not."""
    nothing_else: str = ""
    """Why no scenario but those of `answers` can be; "": each that is neither there nor in `cannot` is missed."""
    options: BaseModel | None = None
    """The adapter's keys of a provider's section; None: all left out."""
    upstream_model: str = "model-of-the-provider"
    call_ids: Sequence[str] = tuple(call.id for call in CALLS)
    """What clients get as the ids of CALLS, where the adapter makes its own."""
    name: str = ""
    """In the names of the checks; "" is the adapter's."""

    def __str__(self) -> str:
        return self.name or self.adapter.name

    def replies(self, name: str) -> tuple[Reply, ...]:
        """The provider's replies in a scenario."""
        told = self.answers[name]
        return (told,) if isinstance(told, Reply) else tuple(told)

    def calls(self, scenario: Scenario) -> Sequence[Call]:
        """The scenario's tool calls, with the ids that clients get."""
        return [replace(call, id=identity) for call, identity in zip(scenario.calls, self.call_ids, strict=False)]

    def request(self, **fields: Any) -> Exchange:
        """Begin an attempt at a request with these fields. Raises: BadRequest: the door can't do it."""
        return self.adapter.open(asked(fields), self.target())

    def target(self) -> Target:
        """The route that it is opened with."""
        return Target(
            route="route",
            label=f"{MODEL}/route",
            model=MODEL,
            family="family",
            provider="provider",
            adapter=self.adapter.name,
            upstream_model=self.upstream_model,
            price=Price(),
            cost=None,
            max_output_tokens=9000,
            output_cap=OUTPUT_CAP,
            prompt_overhead_tokens=self.adapter.prompt_overhead_tokens,
            options=self.adapter.options() if self.options is None else self.options,
        )


def asked(fields: Mapping[str, Any]) -> ChatRequest:
    """The request as the gateway hands it to adapters. fields: of its body; `messages` may be left out."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], **fields}
    return parse(dumps(body))
