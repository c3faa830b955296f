from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import orjson
import pytest

from adapters.ark_bots import ArkBots, ArkBotsOptions
from proxy import Answer, BadRequest, Exchange, Extra, Finish, Price, Send, StreamTruncated, TextDelta, UpstreamBusy, Usage
from tests.adapters.dialect import JSON, Told, chat, parts, raws, target, three_ways, usages

BOT = "bot-20250101120000-ab1cd"
USED = {
    "model_usage": [
        {"name": "plan", "prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        {
            "name": "answer",
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    ],
    "action_usage": [{"action_name": "content_plugin", "count": 1}, {"name": "content_plugin", "search_count": 2}],
}
PAGE = {"url": "https://e.example/a", "title": "t", "summary": "s", "site_name": "e", "logo_url": ""}
CITED = {
    "type": "url_citation",
    "url_citation": {
        "url": "https://e.example/a",
        "title": "t",
        "summary": "s",
        "site_name": "e",
        "start_index": 0,
        "end_index": 0,
    },
}


def exchange() -> Exchange:
    return ArkBots().open(chat(stream=True), target(ArkBotsOptions(), upstream_model=BOT))


def sent(body: dict[str, Any], **options: Any) -> tuple[dict[str, Any], Exchange]:
    opened = ArkBots().open(chat(body), target(ArkBotsOptions(**options), upstream_model=BOT))
    send = opened.next()
    assert isinstance(send, Send) and send.path == "/bots/chat/completions"
    out = orjson.loads(send.body)
    del out["messages"]
    return out, opened


def frames(*chunks: dict[str, Any]) -> bytes:
    """Framed as the open runtime for bots does it."""
    return b"".join(b"data:" + orjson.dumps({"model": "m", **chunk}) + b"\r\n\r\n" for chunk in chunks) + b"data:[DONE]\r\n\r\n"


def text(content: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content, "role": "assistant"}}
    return {"choices": [choice if finish is None else {**choice, "finish_reason": finish}]}


def chunk_of(raw: bytes) -> Any:
    return orjson.loads(raw.removeprefix(b"data:"))


def test_the_request_is_chats_to_the_bot() -> None:
    body, opened = sent({"metadata": {"user_info": "{}"}, "enable_thinking": False, "seed": 1, "stop": ["x"]})
    assert body == {
        "model": BOT,
        "max_tokens": 1000,
        "metadata": {"user_info": "{}"},
        "thinking": {"type": "disabled"},
    }
    assert opened.dropped == ("seed", "stop")


def test_the_cap_can_be_the_one_that_counts_reasoning() -> None:
    assert sent({"max_tokens": 7}, cap_field="max_completion_tokens")[0] == {"model": BOT, "max_completion_tokens": 1000}


def test_a_group_chat_may_not_choose_models() -> None:
    characters: list[dict[str, Any]] = [{"name": "a", "system_prompt": "p"}]
    assert sent({"metadata": {"group_chat_config": {"characters": characters}}})
    characters.append({"name": "b", "model_desc": {"endpoint_id": "ep-1"}})
    with pytest.raises(BadRequest) as caught:
        sent({"metadata": {"group_chat_config": {"characters": characters}}})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "metadata")


def test_stream() -> None:
    told = three_ways(
        exchange,
        frames({**text("a"), "references": [PAGE]}, text("b", "stop"), {"choices": [], "bot_usage": USED}),
        after=b"data:more\r\n\r\n",
    )
    first, second = map(chunk_of, raws(told))
    assert first["choices"][0]["delta"] == {"content": "a", "role": "assistant", "annotations": [CITED]}
    assert second["choices"][0] == {"index": 0, "delta": {"content": "b"}, "finish_reason": "stop"}
    assert first["model"] == second["model"] == "doubao-seed"
    assert not {"references", "bot_usage", "usage"} & (first.keys() | second.keys())
    assert parts(told)[1:] == [TextDelta("a"), Extra(delta={"annotations": [CITED]}), TextDelta("b"), Finish("stop")]
    assert usages(told) == [
        Usage(
            input_tokens=14,
            output_tokens=5,
            cached_input_tokens=4,
            reasoning_tokens=1,
            reported={
                **USED,
                "prompt_tokens": 14,
                "completion_tokens": 5,
                "total_tokens": 19,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        )
    ]


def test_references_at_the_end_get_a_chunk_and_are_not_told_twice() -> None:
    last = {"choices": [], "references": [PAGE, {"doc_name": "d", "chunk_id": "1"}], "bot_usage": USED}
    told = three_ways(exchange, frames({**text("a", "stop"), "references": [PAGE]}, last))
    [choice] = chunk_of(raws(told)[1])["choices"]
    assert choice["finish_reason"] is None
    assert choice["delta"]["annotations"] == [
        {
            "type": "url_citation",
            "url_citation": {"doc_name": "d", "chunk_id": "1", "url": "", "title": "d", "start_index": 0, "end_index": 0},
        }
    ]
    assert [usage.input_tokens for usage in usages(told)] == [14] and told.fault is None


def whole(**members: Any) -> Told:
    message = {"role": "assistant", "content": "a"}
    body = {"id": "1", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": message}], **members}
    return three_ways(exchange, orjson.dumps(body), headers=JSON)


def test_json_answer() -> None:
    answer, usage = whole(bot_usage=USED, references=[PAGE], metadata={}).events
    assert isinstance(answer, Answer) and isinstance(usage, Usage)
    assert answer.body["choices"][0]["message"] == {"role": "assistant", "content": "a", "annotations": [CITED]}
    assert answer.body.keys() == {"id", "model", "choices", "metadata"}
    assert (usage.input_tokens, usage.output_tokens, usage.tool_calls) == (14, 5, {})


@pytest.mark.parametrize(
    "junk",
    [
        None,
        [],
        {},
        {"model_usage": []},
        {"model_usage": [7]},
        {"model_usage": [{"prompt_tokens": 1}]},
        {"model_usage": [{"prompt_tokens": -1, "completion_tokens": 1}, {"prompt_tokens": 9, "completion_tokens": 1}]},
    ],
)
def test_counts_that_can_not_be_read_are_left_to_the_gateways_estimate(junk: Any) -> None:
    [answer] = whole(bot_usage=junk, references={"not": "a list"}).events
    assert isinstance(answer, Answer) and "annotations" not in answer.body["choices"][0]["message"]


def test_calls_of_plugins_count_where_they_have_a_price() -> None:
    priced = Price(tools={"content_plugin": 10**9}, usd=Fraction(1))
    route = target(ArkBotsOptions(), upstream_model=BOT, price=priced)
    for used in (route, replace(route, price=Price(), cost=priced)):
        body = orjson.dumps({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "bot_usage": USED})
        *_, usage = three_ways(lambda used=used: ArkBots().open(chat(), used), body, headers=JSON).events  # type: ignore[misc]
        assert isinstance(usage, Usage) and usage.tool_calls == {"content_plugin": 3}


def test_a_stream_that_breaks_off_and_an_error_before_done() -> None:
    cut = three_ways(exchange, frames(text("a")).removesuffix(b"data:[DONE]\r\n\r\n"))
    assert isinstance(cut.fault, StreamTruncated)
    told = three_ways(exchange, frames(text("a"), {"error": {"code": "ServerOverloaded", "message": "m"}}))
    assert isinstance(told.fault, UpstreamBusy) and len(told.events) == 1


def test_errors_of_a_self_hosted_bot() -> None:
    body = b'{"detail":{"code":"RateLimitExceeded.EndpointRPMExceeded","message":"m"}}'
    fault = three_ways(exchange, body, status=429, headers=JSON).fault
    assert isinstance(fault, UpstreamBusy) and fault.upstream["code"] == "RateLimitExceeded.EndpointRPMExceeded"
