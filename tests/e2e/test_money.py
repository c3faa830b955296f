"""Budgets under concurrency, and charges that are in the store before the client sees the end.

An output token costs 0.001 USD and input nothing, so that "Hello, you said: hi", six tokens, costs 0.006 USD.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest

from proxy.control import at
from tests.e2e import files
from tests.e2e.conftest import Answered, Serve, Served
from tests.fakes import FakeArk, FakeOpenAI
from tests.fakes.ark import BOT, ENDPOINT

PRICE = {"input": 0, "output": 1000}
REJECT = ["virtual_keys", "model_scope", {"budget": {"when_short": "reject"}}, "routing", "metering", "metrics"]
CLAMP = ["virtual_keys", "model_scope", {"budget": {"when_short": "clamp"}}, "routing", "metering", "metrics"]

LONGER = """
from proxy import hookimpl

@hookimpl
def transform_request(ctx, body):
    return {**body, "metadata": {"note": "x" * 1000}}
"""


async def limited(serve: Serve, fake: FakeOpenAI, plugins: list[Any] = REJECT, **budget: Any) -> Served:
    return await serve(
        providers={"relay": files.relay(fake)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget=budget)],
        plugins=plugins,
    )


async def spent(served: Served) -> int:
    """Nano-USD in the store."""
    sums = await served.gateway.store.reports.usage((), 0, 2**62)
    return sum(group.debit_nanousd for group in sums)


def statuses(answers: list[Answered]) -> Counter[int]:
    return Counter(answered.status for answered in answers)


@pytest.mark.parametrize("stream", [False, True])
async def test_thirty_at_once_on_a_budget_for_ten(serve: Serve, fake_openai: FakeOpenAI, stream: bool) -> None:
    served = await limited(serve, fake_openai, daily_usd=0.06)
    answers = await asyncio.gather(*(served.chat(max_tokens=6, stream=stream) for _ in range(30)))
    assert statuses(answers) == {200: 10, 429: 20}
    assert len(fake_openai.billed) == 10
    assert await spent(served) == 60_000_000
    assert await served.metric("paifang_ledger_unsettled") == 0
    assert (await served.chat(max_tokens=1)).error["param"] == "key.daily"


async def test_what_was_held_and_not_spent_comes_back(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, monthly_usd=0.12)
    fake_openai.delay(before_s=0.3)
    answers = await asyncio.gather(*(served.chat(max_tokens=12) for _ in range(30)))
    assert statuses(answers) == {200: 10, 429: 20}
    fake_openai.delay()
    # 0.06 is left: nine more fit, the last of them into exactly 0.012.
    assert statuses([await served.chat(max_tokens=12) for _ in range(12)]) == {200: 9, 429: 3}
    assert await spent(served) == 114_000_000


async def test_failures_cost_nothing(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, daily_usd=0.006)
    fake_openai.fail_next(500, "server_error", "oops", times=9)
    for stream in (False, True, False):
        assert (await served.chat(max_tokens=6, stream=stream)).status == 502
    fake_openai.cut_stream(after=0)
    assert (await served.chat(max_tokens=6, stream=True)).status == 502
    assert (await served.chat(max_tokens=6)).status == 200
    assert (await served.chat(max_tokens=6)).status == 429


async def test_a_stream_that_broke_costs_what_came(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, daily_usd=10)
    fake_openai.cut_stream(after=4)
    with pytest.raises(aiohttp.ClientPayloadError):
        await served.chat(stream=True)
    assert 3_000_000 <= await spent(served) <= 8_000_000
    assert await served.metric("paifang_ledger_unsettled") == 0


async def test_a_request_that_a_plugin_makes_longer_is_held_for_and_charged_once(
    serve: Serve, fake_openai: FakeOpenAI
) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 0.012}, rate_limit={"concurrent": 1, "requests_per_minute": 3})],
        plugins=["virtual_keys", "./longer.py", "rate_limit", "budget", "routing", "metering", "metrics"],
        also={"longer.py": LONGER},
    )
    answered = await served.chat(max_tokens=6)
    assert (answered.status, answered.headers["x-ratelimit-remaining-requests"]) == (200, "2")
    fake_openai.fail_next(500, "server_error", "oops", times=3)
    assert (await served.chat(max_tokens=6)).status == 502
    assert await served.metric("paifang_ledger_unsettled") == 0
    assert (await served.chat(max_tokens=6)).status == 200
    assert await spent(served) == 12_000_000
    assert await served.gateway.store.reports.verify() == []
    assert (await served.chat(max_tokens=1)).status == 429


MORE_CHOICES = "from proxy import hookimpl\n\n@hookimpl\ndef transform_request(ctx, body):\n    "


@pytest.mark.parametrize(
    "more", ['return {**body, "n": 9}', 'body["n"] = 9', 'body["n"] = 9; return body', 'ctx.chat.body["n"] = 9']
)
async def test_a_plugin_that_asks_for_more_choices_needs_the_money_for_them(
    serve: Serve, fake_openai: FakeOpenAI, more: str
) -> None:
    plugins = [*REJECT[:-1], "./more.py"]
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 0.05})],
        plugins=plugins,
        also={"more.py": MORE_CHOICES + more},
    )
    assert (await served.chat(max_tokens=6)).error["code"] == "budget_exceeded"
    assert fake_openai.requests == []


LOWERED = [
    ('{**body, "max_tokens": 2}', {}, 2),
    ('{**body, "max_tokens": 2}', {"max_tokens": 6}, 2),
    ('{**body, "max_tokens": 2}', {"max_completion_tokens": 6}, 2),
    ('{**body, "max_completion_tokens": 2, "max_tokens": None}', {"max_tokens": 6}, 2),
    ('{**body, "max_tokens": 9}', {"max_tokens": 6}, 6),
    ('{**body, "max_tokens": None}', {"max_tokens": 6}, 6),
    ('{**body, "max_tokens": 2**20, "n": None}', {}, 4096),
]


@pytest.mark.parametrize(("change", "asked", "cap"), LOWERED)
async def test_a_plugin_may_lower_the_cap_and_raises_it_in_vain(
    serve: Serve, fake_openai: FakeOpenAI, change: str, asked: dict[str, int], cap: int
) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("a", "relay", priority=1), files.route("b", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 10})],
        plugins=[*REJECT, "./lower.py"],
        also={"lower.py": f"{MORE_CHOICES}return {change}"},
    )
    body = {"model": "doubao-seed", "messages": files.HI, **asked}
    await served.gateway.listen_control(served.gateway.file.parent / "c.sock")
    async with at(served.gateway.file.parent / "c.sock") as caller:
        told = (await caller.call("POST", "explain", {"model": "doubao-seed", "key": "ci", "body": body}))["request"]["body"]
    fake_openai.fail_next(500, "server_error", "oops")
    assert (await served.chat(**asked)).headers["x-paifang-route"] == "b"
    for sent in (told, *(request.body or {} for request in fake_openai.requests)):
        caps = {sent.get(name) for name in ("max_tokens", "max_completion_tokens")} - {None}
        assert caps == {cap}
    assert await spent(served) == 1_000_000 * min(6, cap)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_plugin_says_how_the_provider_is_asked_and_the_client_how_it_is_answered(
    serve: Serve, fake_openai: FakeOpenAI, streamed: bool
) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("a", "relay"), price=PRICE)},
        plugins=[*REJECT, "./way.py"],
        keys=[files.key("ci", files.KEY)],
        also={"way.py": f"{MORE_CHOICES}return {{**body, 'stream': {not streamed}, 'stream_options': None}}"},
    )
    answered = await served.chat(stream=streamed)
    assert answered.headers["content-type"].startswith("text/event-stream" if streamed else "application/json")
    assert bool((fake_openai.requests[-1].body or {}).get("stream")) is not streamed
    assert await spent(served) == 6_000_000


async def test_what_a_plugin_changed_in_place_is_not_in_the_next_routes_request(
    serve: Serve, fake_openai: FakeOpenAI
) -> None:
    rule = {"role": "system", "content": "Be brief."}
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("a", "relay", priority=1), files.route("b", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
        plugins=[*REJECT[:-1], "./more.py"],
        also={"more.py": f"{MORE_CHOICES}body['messages'].append({rule})"},
    )
    fake_openai.fail_next(500, "server_error", "oops")
    assert (await served.chat(max_tokens=6)).headers["x-paifang-route"] == "b"
    assert [(request.body or {})["messages"] for request in fake_openai.requests] == [[*files.HI, rule]] * 2


async def test_the_next_route_gets_the_cap_that_is_held_as_well(serve: Serve, fake_openai: FakeOpenAI) -> None:
    routes = [files.route("a", "relay", priority=1), files.route("b", "relay", priority=2)]
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(*routes, price={"input": 1, "output": 1000})},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 0.02})],
        plugins=[*CLAMP, "./longer.py"],
        also={"longer.py": LONGER},
    )
    fake_openai.fail_next(500, "server_error", "oops")
    answered = await served.chat()
    caps = [(request.body or {})["max_tokens"] for request in fake_openai.requests]
    assert answered.headers["x-paifang-route"] == "b"
    assert caps == [int(answered.headers["x-paifang-clamped-max-tokens"])] * 2


BAD_METER = """
from proxy import Charge, Usage, hookimpl

@hookimpl
def meter(ctx, outcome):
    return Charge(amount_nanousd=-5, usage=Usage(input_tokens=1, output_tokens=1))
"""


async def test_what_can_not_be_charged_is_given_back(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=PRICE)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 100})],
        plugins=["./meter.py", *REJECT],
        also={"meter.py": BAD_METER},
    )
    answered = await served.chat()
    assert (answered.status, answered.error["code"]) == (500, "plugin_error")
    assert await served.metric("paifang_ledger_unsettled") == 0
    assert await spent(served) == 0


@pytest.mark.parametrize("period", ["daily_usd", "monthly_usd"])
@pytest.mark.parametrize("usd", [2_000_000, 1_000_000_000])
async def test_a_budget_may_be_larger_than_any_single_amount(
    serve: Serve, fake_openai: FakeOpenAI, period: str, usd: int
) -> None:
    served = await limited(serve, fake_openai, **{period: usd})
    assert (await served.chat(max_tokens=6)).status == 200
    assert await spent(served) == 6_000_000
    await served.gateway.listen_control(served.gateway.file.parent / "c.sock")
    async with at(served.gateway.file.parent / "c.sock") as caller:
        made = await caller.call("POST", "keys", {"name": "more", "budget": {period: str(usd)}})
    assert (await served.chat(max_tokens=6, key=made["key"])).status == 200


async def test_too_little_money_clamps_the_answer(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, CLAMP, daily_usd=0.003)
    answered = await served.chat()
    assert answered.status == 200 and answered.headers["x-paifang-clamped-max-tokens"] == "3"
    assert (fake_openai.requests[-1].body or {})["max_tokens"] == 3
    assert answered.json["choices"][0]["finish_reason"] == "length"
    assert await spent(served) == 3_000_000
    assert (await served.chat()).error["code"] == "budget_exceeded"


async def test_a_choice_is_paid_for_each(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, daily_usd=0.018)
    assert (await served.chat(n=4, max_tokens=6)).status == 429
    assert (await served.chat(n=3, max_tokens=6)).json["usage"]["cost"] == 0.018


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", [{"type": "web_search"}]),
        ("enable_search", True),
        ("search_options", {}),
        ("web_search", {}),
        ("web_search_options", {}),
        ("enable_enhancement", True),
    ],
)
@pytest.mark.parametrize("free", [False, True])
async def test_a_search_whose_calls_nobody_counts_is_not_made_for_a_fee(
    serve: Serve, fake_openai: FakeOpenAI, field: str, value: Any, free: bool
) -> None:
    price = {"input": 1, "output": 1000, "tools": {"web_search": 0 if free else 0.01}}
    served = await serve(
        providers={"relay": files.relay(fake_openai)},
        models={"doubao-seed": files.model(files.route("relay", "relay"), price=price)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 1})],
        plugins=REJECT,
    )
    answered = await served.chat(max_tokens=6, **{field: value})
    if free:
        # What the search finds is held for as input: all 1,048,576 tokens of it, more than there is.
        assert (answered.status, answered.error["code"]) == (429, "budget_exceeded")
    else:
        assert (answered.status, answered.error["code"], answered.error["param"]) == (400, "unsupported_parameter", field)
    assert (fake_openai.requests, await spent(served)) == ([], 0)


async def test_the_calls_of_a_search_are_held_for_and_charged(serve: Serve, fake_ark: FakeArk) -> None:
    price = {**PRICE, "tools": {"web_search": 0.01}}
    served = await serve(
        providers={"ark": files.ark_responses(fake_ark)},
        models={"doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL), price=price)},
        keys=[files.key("ci", files.KEY, budget={"daily_usd": 0.03})],
        plugins=REJECT,
    )
    search = {"messages": [{"role": "user", "content": "search"}], "tools": [{"type": "web_search"}], "max_tokens": 6}
    # Ten calls may be made unless the request says less.
    assert (await served.chat(**search)).error["param"] == "key.daily"
    assert fake_ark.requests == []
    answered = await served.chat(**search, max_tool_calls=2)
    assert answered.status == 200 and answered.json["usage"]["tool_usage"] == {"web_search": 1}
    assert await spent(served) == answered.json["usage"]["output_tokens"] * 1_000_000 + 10_000_000


async def test_the_calls_that_a_bot_makes_unasked_are_held_for_and_charged(serve: Serve, fake_ark: FakeArk) -> None:
    fake_ark.references = [{"url": "https://example.com/a", "title": "t"}]
    keys = [
        files.key("short", files.KEY, budget={"daily_usd": 0.13}),
        files.key("enough", files.EXPIRED, budget={"daily_usd": 0.14}),
    ]
    served = await serve(
        providers={"bots": files.ark_bots(fake_ark)},
        models={"helper": files.model(files.route("bot", "bots", BOT), price={**PRICE, "tools": {"content_plugin": 0.01}})},
        keys=keys,
        plugins=REJECT,
    )
    assert (await served.chat("helper", max_tokens=40)).error["param"] == "key.daily"
    assert fake_ark.requests == []
    answered = await served.chat("helper", key=files.EXPIRED, max_tokens=40)
    assert await spent(served) == answered.json["usage"]["output_tokens"] * 1_000_000 + 10_000_000


async def test_the_cap_of_the_model_is_what_is_held_and_sent(serve: Serve, fake_openai: FakeOpenAI) -> None:
    served = await limited(serve, fake_openai, daily_usd=4.096)
    assert (await served.chat()).status == 200
    assert (fake_openai.requests[-1].body or {})["max_tokens"] == 4096
    assert (await served.chat()).status == 429


async def scoped(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI) -> Served:
    """A key for the family doubao, whose one model falls back to a model of another family."""
    return await serve(
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai)},
        models={
            "doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL), fallbacks=["deepseek"]),
            "deepseek": files.model(files.route("relay", "relay"), family="deepseek", aliases=["doubao-cheap"]),
            "endpoint": files.model(files.route("ep", "ark", ENDPOINT), family="deepseek"),
        },
        keys=[
            files.key("doubao", files.DOUBAO_ONLY, families=["doubao"]),
            files.key("one", files.EXPIRED, models=["doubao-seed"]),
            files.key("all", files.KEY),
        ],
    )


@pytest.mark.parametrize("key", [files.DOUBAO_ONLY, files.EXPIRED])
async def test_no_name_leads_out_of_a_scope(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI, key: str) -> None:
    served = await scoped(serve, fake_ark, fake_openai)
    for name in ("deepseek", "doubao-cheap", "endpoint"):
        assert (await served.chat(name, key=key)).error["code"] == "model_not_allowed"
    alike = ("Doubao-Seed", "doubao-seed ", "doubao\u2010seed", "doubao-seed/../deepseek")
    for name in (ENDPOINT, files.ARK_MODEL, "relay", *alike):
        assert (await served.chat(name, key=key)).error["code"] == "model_not_found"
    assert fake_ark.requests == [] and fake_openai.requests == []
    headers = {"authorization": f"Bearer {key}"}
    listed = (await served.ask("GET", "/v1/models", headers=headers)).json["data"]
    assert [entry["id"] for entry in listed] == ["doubao-seed"]


@pytest.mark.parametrize("key", [files.DOUBAO_ONLY, files.EXPIRED])
async def test_no_fallback_leads_out_of_a_scope(serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI, key: str) -> None:
    served = await scoped(serve, fake_ark, fake_openai)
    fake_ark.fail_next(500, "InternalServiceError", "oops", times=4)
    refused = await served.chat(key=key)
    assert (refused.status, refused.headers["x-paifang-attempts"]) == (502, "3")
    assert fake_openai.requests == []
    assert (await served.chat()).headers["x-paifang-route"] == "relay"


async def test_a_fallback_is_charged_to_the_family_that_answered(
    serve: Serve, fake_ark: FakeArk, fake_openai: FakeOpenAI
) -> None:
    families = {"doubao": {"daily_usd": 1}, "deepseek": {"daily_usd": 0.02}}
    served = await serve(
        providers={"ark": files.ark(fake_ark), "relay": files.relay(fake_openai)},
        models={
            "doubao-seed": files.model(files.route("ark", "ark", files.ARK_MODEL), fallbacks=["deepseek"]),
            "deepseek": files.model(files.route("relay", "relay"), family="deepseek", price=PRICE),
        },
        keys=[files.key("ci", files.KEY, budget={"families": families})],
        plugins=REJECT,
    )
    fake_ark.fail_next(500, "InternalServiceError", "oops", times=2)
    assert [(await served.chat(max_tokens=8)).status for _ in range(2)] == [200, 200]
    # 0.012 of deepseek's 0.02 are spent, so eight more tokens don't fit, and doubao alone was never charged.
    assert (await served.chat("deepseek", max_tokens=9)).error["param"] == "family.daily"
    assert (await served.chat("deepseek", max_tokens=8)).status == 200
