"""The table: what a provider answers, and what Chat Completions has to make of it.

A scenario fixes what is said; how a provider spells it is for its Door to know. Texts hold characters of three and four
bytes, so that cuts fall into them. Counts are 12 tokens read and 7 written everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.errors import Remedy, UpstreamBusy, UpstreamError, UpstreamFailed, UpstreamRefused, UpstreamRejectedUs

TEXT = "Hello, 世界 🌏!"
REASONING = "The user greets, 所以 I greet."
VENDORS_WORDS = "ask Wang Fang in room 1204"
"""To be put into the text of errors: it may get to the log, never to a client."""
RETRY_AFTER_S = 7
PICTURE_URL = "https://example.com/cat.png"
PICTURE_DATA = "iVBORw0KGgo="
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(frozen=True)
class Call:
    """A tool call; arguments are compared as JSON."""

    id: str
    name: str
    arguments: str


CALLS = (Call("call_1", "get_weather", '{"city":"Paris"}'), Call("call_2", "get_weather", '{"city":"北京"}'))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """An answer."""

    name: str
    told: str
    """What the provider answers, in words."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Of the request, beside `model`."""
    carries: tuple[str, ...] = ()
    """What must be found in the requests that are sent."""
    text: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    cached: int = 0
    reasoned: int = 0
    """Tokens of the 12 that came from a cache, and of the 7 that are reasoning, as reported."""

    @property
    def streams(self) -> bool:
        return bool(self.fields.get("stream"))


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An error of the provider's."""

    name: str
    told: str
    kinds: tuple[type[UpstreamError], ...]
    codes: tuple[str, ...]
    """The first of them is the best; any will do."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    remedies: tuple[Remedy, ...] = ()
    """What routing may be told to do; empty: that goes with the class."""
    before: str = ""
    """Text that the client has by then."""


def _ask(*messages: Mapping[str, Any], **fields: Any) -> Mapping[str, Any]:
    return {"messages": list(messages) or [{"role": "user", "content": "Hi"}], **fields}


_TOOL_LOOP = (
    {"role": "user", "content": "How is the weather in Paris?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees and sunny"},
)
_PICTURES = {
    "role": "user",
    "content": [
        {"type": "text", "text": "Compare"},
        {"type": "image_url", "image_url": {"url": PICTURE_URL}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE_DATA}"}},
    ],
}

SCENARIOS = (
    Scenario(name="text", told="JSON: TEXT.", fields=_ask(), carries=("Hi",), text=TEXT),
    Scenario(name="text_stream", told="TEXT in two pieces or more.", fields=_ask(stream=True), carries=("Hi",), text=TEXT),
    Scenario(name="length", told="JSON: TEXT, ended by the output cap.", fields=_ask(), text=TEXT, finish="length"),
    Scenario(name="length_stream", told="TEXT, ended by the output cap.", fields=_ask(stream=True), text=TEXT, finish="length"),
    Scenario(
        name="filtered",
        told="JSON: TEXT, ended by the provider's content filter.",
        fields=_ask(),
        text=TEXT,
        finish="content_filter",
    ),
    Scenario(
        name="tools",
        told="JSON: both CALLS, no text.",
        fields=_ask(tools=[TOOL]),
        carries=("get_weather", "The weather of a city.", "city"),
        calls=CALLS,
        finish="tool_calls",
    ),
    Scenario(
        name="tools_stream",
        told="Both CALLS, the arguments of each in two pieces or more.",
        fields=_ask(tools=[TOOL], stream=True),
        carries=("get_weather", "The weather of a city.", "city"),
        calls=CALLS,
        finish="tool_calls",
    ),
    Scenario(
        name="tool_results",
        told="JSON: TEXT, to a conversation in which a tool was called.",
        fields=_ask(*_TOOL_LOOP, tools=[TOOL]),
        carries=("call_1", "Paris", "18 degrees and sunny"),
        text=TEXT,
    ),
    Scenario(name="reasoning", told="JSON: REASONING, then TEXT.", fields=_ask(), reasoning=REASONING, text=TEXT),
    Scenario(
        name="reasoning_stream",
        told="REASONING, then TEXT, in pieces.",
        fields=_ask(stream=True),
        reasoning=REASONING,
        text=TEXT,
    ),
    Scenario(
        name="vision",
        told="JSON: TEXT, to two pictures, one by URL and one as data.",
        fields=_ask(_PICTURES),
        carries=("Compare", PICTURE_URL, PICTURE_DATA),
        text=TEXT,
    ),
    Scenario(name="cached", told="JSON: TEXT; 4 of the tokens read came from a cache.", fields=_ask(), text=TEXT, cached=4),
    Scenario(
        name="cached_stream",
        told="TEXT; 4 of the tokens read came from a cache.",
        fields=_ask(stream=True),
        text=TEXT,
        cached=4,
    ),
    Scenario(
        name="reasoning_tokens",
        told="JSON: REASONING and TEXT; 3 of the tokens written are reasoning.",
        fields=_ask(),
        reasoning=REASONING,
        text=TEXT,
        reasoned=3,
    ),
)

_REFUSED = (UpstreamRefused,)
_OUR_ACCOUNT = (UpstreamRejectedUs,)
_BUSY = (UpstreamBusy,)
_FAILED = (UpstreamFailed, UpstreamBusy)
_FAILED_CODES = ("upstream_error", "upstream_rate_limited")

FAILURES = (
    Failure(name="invalid", told="400: a value is wrong.", kinds=_REFUSED, codes=("upstream_invalid_request",)),
    Failure(name="overlong", told="The prompt is longer than the context.", kinds=_REFUSED, codes=("context_length_exceeded",)),
    Failure(name="unsafe", told="The content filter refuses the prompt.", kinds=_REFUSED, codes=("content_filter",)),
    Failure(
        name="bad_key",
        told="401: the API key is wrong.",
        kinds=_OUR_ACCOUNT,
        codes=("upstream_auth_failed",),
        remedies=(Remedy.BAD_CREDENTIAL,),
    ),
    Failure(
        name="forbidden",
        told="403: the API key may not do this.",
        kinds=_OUR_ACCOUNT,
        codes=("upstream_auth_failed", "upstream_model_unavailable", "upstream_quota_exhausted"),
    ),
    Failure(
        name="unpaid",
        told="The account's balance or quota is used up.",
        kinds=_OUR_ACCOUNT,
        codes=("upstream_quota_exhausted",),
        remedies=(Remedy.BAD_CREDENTIAL,),
    ),
    Failure(
        name="no_model",
        told="404: no such model.",
        kinds=_OUR_ACCOUNT,
        codes=("upstream_model_unavailable",),
        remedies=(Remedy.NEXT_ROUTE,),
    ),
    Failure(
        name="busy",
        told=f"429: too many requests. `retry-after: {RETRY_AFTER_S}` is added where it isn't there.",
        kinds=_BUSY,
        codes=("upstream_rate_limited",),
        remedies=(Remedy.COOL_DOWN,),
    ),
    Failure(name="broken", told="500: an internal error.", kinds=_FAILED, codes=_FAILED_CODES),
    Failure(name="down", told="503: overloaded, or being mended.", kinds=_FAILED, codes=_FAILED_CODES),
    Failure(name="busy_in_200", told="200, JSON: too many requests.", kinds=_BUSY, codes=("upstream_rate_limited",)),
    Failure(
        name="busy_in_stream",
        told="200, and the stream begins with: too many requests.",
        kinds=_BUSY,
        codes=("upstream_rate_limited",),
        fields=_ask(stream=True),
    ),
    Failure(
        name="broken_in_stream",
        told="The first five characters of TEXT, then an internal error, in a stream.",
        kinds=_FAILED,
        codes=_FAILED_CODES,
        fields=_ask(stream=True),
        before=TEXT[:5],
    ),
)
