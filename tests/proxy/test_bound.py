"""What a request may cost at most, over every route it may take."""

from __future__ import annotations

import re
from typing import Any

import pytest

from proxy.adapter import NoOptions
from proxy.bound import (
    IMAGE_TOKENS,
    TOOL_CALLS,
    TOOL_FIELDS,
    UNSEEN_TOKENS,
    affordable_cap,
    cost_bound,
    refuse_unpriced,
    smallest_cost_bound,
)
from proxy.chat import ChatRequest
from proxy.context import Target
from proxy.errors import BadRequest
from proxy.money import FREE, ONE, Price, Tier

PRICE = Price(tiers=(Tier(input=1000, output=3000, reasoning=3000),))
"""1 nano-USD an input token, 3 an output token."""
SEARCHED = Price(tiers=PRICE.tiers, tools={"web_search": 7000})
"""And 7 a search."""
KIMIS = {"type": "builtin_function", "function": {"name": "$web_search"}}


def target(**fields: Any) -> Target:
    return Target(
        **{
            "route": "ark",
            "label": "ark",
            "model": "doubao-seed",
            "family": "doubao",
            "provider": "ark",
            "adapter": "ark",
            "upstream_model": "doubao-seed-2-0-lite",
            "price": PRICE,
            "cost": None,
            "max_output_tokens": 100,
            "output_cap": 100,
            "options": NoOptions(),
            **fields,
        }
    )


def chat(content: Any = "hello", *, n: int = 1, body_bytes: int = 500, **fields: Any) -> ChatRequest:
    body = {"model": "doubao-seed", "messages": [{"role": "user", "content": content}], **fields}
    return ChatRequest(body=body, body_bytes=body_bytes, model="doubao-seed", n=n)


def test_bytes_and_overhead_bound_the_input_and_n_caps_the_output() -> None:
    assert cost_bound(chat(), [target()]) == 500 + 300
    assert cost_bound(chat(n=2), [target(prompt_overhead_tokens=50)]) == 550 + 600


def test_the_context_bounds_a_long_request() -> None:
    assert cost_bound(chat(body_bytes=5000), [target(context_tokens=2000)]) == 2000 + 300


def test_the_dearest_route_counts() -> None:
    dear = target(price=Price(tiers=(Tier(input=2000, output=1000),)))
    assert cost_bound(chat(), [target(), dear]) == 1000 + 100
    assert cost_bound(chat(), [target(price=FREE)]) == 0


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": "ark://file-1"}},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
        {"type": "input_audio", "input_audio": {"url": "https://example.com/a.wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "something new"},
    ],
)
def test_input_that_the_bytes_do_not_show_is_bound_by_the_context(part: dict[str, Any]) -> None:
    request = chat([{"type": "text", "text": "look"}, part])
    assert cost_bound(request, [target(context_tokens=50_000)]) == 50_000 + 300
    assert cost_bound(request, [target()]) == 500 + UNSEEN_TOKENS + 300


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]},
    ],
)
def test_what_the_provider_keeps_or_finds_is_bound_by_the_context(fields: dict[str, Any]) -> None:
    assert cost_bound(chat(**fields), [target(context_tokens=50_000)]) == 50_000 + 300


def test_inline_media() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert cost_bound(chat([image, image, audio]), [target()]) == 500 + 2 * IMAGE_TOKENS + 300


def test_calls_of_priced_tools_are_bound() -> None:
    priced = target(price=SEARCHED, context_tokens=1000)
    searching = chat(tools=[{"type": "web_search"}, {"type": "function", "function": {"name": "f"}}])
    assert cost_bound(searching, [priced]) == 1000 + 300 + 7 * TOOL_CALLS
    assert cost_bound(chat(tools=[{"type": "web_search"}], max_tool_calls=2), [priced]) == 1000 + 300 + 14


@pytest.mark.parametrize(
    "fields",
    [
        {"web_search_options": {}},
        {"web_search_options": {"search_context_size": "low"}},
        {"enable_search": True},
        {"search_options": {}},
        {"web_search": {"enable": True}},
        {"enable_enhancement": True},
        {"enable_search": True, "search_options": {}, "tools": [{"type": "web_search"}]},
    ],
)
def test_every_field_that_asks_for_a_search_is_held_for_under_one_name(fields: dict[str, Any]) -> None:
    priced = target(price=SEARCHED, context_tokens=1000, counts_tool_calls=True)
    refuse_unpriced(chat(**fields), [priced])
    assert cost_bound(chat(**fields), [priced]) == 1000 + 300 + 7 * TOOL_CALLS


def test_a_door_that_searches_unasked_is_held_for_every_tool_with_a_price() -> None:
    bot = target(price=SEARCHED, counts_tool_calls=True, calls_unasked=True)
    assert cost_bound(chat(n=2, max_tool_calls=0), [bot]) == 500 + 600 + 7 * 2 * TOOL_CALLS


@pytest.mark.parametrize("nothing", [None, False, []])
def test_a_field_that_asks_for_nothing_costs_nothing(nothing: Any) -> None:
    request = chat(**dict.fromkeys(TOOL_FIELDS, nothing))
    refuse_unpriced(request, [target()])
    assert cost_bound(request, [target(price=SEARCHED)]) == 500 + 300


@pytest.mark.parametrize(("amount", "cap"), [(799, 99), (800, 100), (10**9, 100), (503, 1), (502, 0), (0, 0)])
def test_the_largest_cap_that_an_amount_covers(amount: int, cap: int) -> None:
    assert affordable_cap(chat(), [target(), target(output_cap=50)], amount) == cap


def test_a_door_that_takes_no_cap_is_bound_by_the_models_own() -> None:
    capless = target(caps_output=False).capped(10)
    assert capless.output_cap == 100
    assert smallest_cost_bound(chat(), [capless]) == cost_bound(chat(), [capless]) == 500 + 300
    assert affordable_cap(chat(), [capless], 799) == 0
    assert affordable_cap(chat(), [target().capped(40), capless], 800) == 100


def test_the_smallest_bound_is_an_answer_of_one_token() -> None:
    assert smallest_cost_bound(chat(n=2), [target()]) == 500 + 6


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"service_tier": ["flex"]}, "service_tier"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [KIMIS]}, "tools"),
        ({"enable_search": True}, "enable_search"),
        ({"web_search": {}}, "web_search"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"background": True}, "background"),
    ],
)
def test_what_changes_the_price_and_has_none_is_refused(fields: dict[str, Any], param: str) -> None:
    priced = target(
        price=Price(tools=dict.fromkeys(["web_search", "$web_search", "plugins"], 0), service_tiers={"priority": ONE})
    )
    for targets in ([target()], [target(price=FREE)], [priced, target()]):
        with pytest.raises(BadRequest) as refused:
            refuse_unpriced(chat(**fields), targets)
        assert (refused.value.code, refused.value.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize(
    ("tool", "named"),
    [
        (KIMIS, "$web_search"),
        ({"type": "builtin_function"}, "builtin_function"),
        ({"type": "web_search", "function": {"name": "calculator"}}, "web_search"),
    ],
)
def test_a_tool_has_the_name_it_is_billed_by(tool: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(f"the provider's tool '{named}'")):
        refuse_unpriced(chat(tools=[tool]), [target(price=Price(tools={"calculator": 0}))])


def test_what_is_priced_or_costs_nothing_more_passes() -> None:
    price = Price(tiers=PRICE.tiers, tools={"$web_search": 1}, service_tiers={"flex": ONE})
    refuse_unpriced(chat(service_tier="flex", tools=[KIMIS]), [target(price=price, counts_tool_calls=True)])
    refuse_unpriced(chat(service_tier="auto", tools=[{"type": "function", "function": {"name": "f"}}]), [target()])
    refuse_unpriced(chat(tools=[{"type": "custom"}], modalities=["text"], background=False), [target()])


def test_a_door_that_counts_no_calls_runs_no_tool_whose_calls_are_priced() -> None:
    with pytest.raises(
        BadRequest, match=r"'enable_search': calls of 'web_search' have a price.*a route that counts them"
    ) as refused:
        refuse_unpriced(chat(enable_search=True), [target(price=SEARCHED, counts_tool_calls=True), target(price=SEARCHED)])
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "enable_search")
    refuse_unpriced(chat(enable_search=True), [target(price=Price(tiers=PRICE.tiers, tools={"web_search": 0}))])
