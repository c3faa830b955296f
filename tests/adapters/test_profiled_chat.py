from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.openai_chat import OpenAIChat, OpenAIChatOptions
from adapters.profiled_chat import ProfiledChat
from adapters.profiles import PROFILES
from proxy import BadRequest, Exchange, Finish, ReasoningDelta, Send, Started, StreamTruncated, TextDelta, ToolCallDelta
from tests.adapters.asking import HI
from tests.adapters.dialect import SSE, Told, chat, parts, raws, stream, target, three_ways, usages
from tests.fakes.families import MODELS

ADAPTERS = {profile.name: ProfiledChat(profile) for profile in PROFILES}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}


def opened(name: str, fields: Any = None, *, model: str = "", streamed: bool = True, **options: Any) -> Exchange:
    adapter = ADAPTERS[name]
    asked = {"messages": [HI], "stream": streamed, **(fields or {})}
    where = target(adapter.options(**options), upstream_model=model or MODELS[name])
    return adapter.open(chat(asked, stream=streamed), where)


def sent(name: str, fields: Any = None, **more: Any) -> tuple[Send, dict[str, Any]]:
    send = opened(name, fields, **more).next()
    assert isinstance(send, Send)
    return send, json.loads(send.body)


def heard(name: str, *data: str, **more: Any) -> Told:
    """Whole, byte by byte and with data after the end."""
    return three_ways(lambda: opened(name, **more), stream(*data))


def choice(delta: str, finish: str = "null", more: str = "") -> str:
    return f'{{"id":"c","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]{more}}}'


@pytest.mark.parametrize(
    ("name", "options", "url", "signer"),
    [
        ("deepseek", {}, "https://api.deepseek.com", "bearer"),
        ("kimi", {}, "https://api.moonshot.cn/v1", "bearer"),
        ("kimi", {"region": "intl"}, "https://api.moonshot.ai/v1", "bearer"),
        ("glm", {"auth": "jwt"}, "https://open.bigmodel.cn/api/paas/v4", "zhipu_jwt"),
        ("glm", {"region": "intl"}, "https://api.z.ai/api/paas/v4", "bearer"),
        ("sensenova", {"auth": "jwt"}, "https://token.sensenova.cn/v1", "sensenova_jwt"),
        ("zhinao", {"auth": "raw"}, "https://api.360.cn/v1", "raw"),
    ],
)
def test_options_choose_place_and_signer(name: str, options: dict[str, str], url: str, signer: str) -> None:
    adapter = ADAPTERS[name]
    chosen: Any = adapter.options(**options)
    assert (adapter.place(chosen), adapter.signed_by(chosen)) == (url, signer)


@pytest.mark.parametrize("name", [profile.name for profile in PROFILES])
def test_where_no_quirk_applies_bytes_pass(name: str) -> None:
    body = (
        b": keep-alive\n\n"
        b'data: {"id":"c1", "created":7,"model":"up-1","choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}\n\n'
        b'data: {"id":"c1", "created":7,"model":"up-1","choices":[{"index":0,"delta":{"content":"b < c"}}]}\n\n'
        b": keep-alive\n\n"
        b'data: {"id":"c1","model":"up-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
    )
    plain = target(OpenAIChatOptions())
    expected = three_ways(lambda: OpenAIChat().open(chat(stream=True), plain), body)
    assert three_ways(lambda: opened(name), body) == expected


@pytest.mark.parametrize("name", ["deepseek", "kimi", "glm", "qwen", "sensenova", "yi"])
def test_a_stream_whose_texts_are_as_they_should_be_is_read_by_repetition(name: str) -> None:
    exchange: Any = opened(name)
    exchange.feed_head(200, SSE)
    exchange.feed_data(stream(choice('{"content":"a"}'), choice('{"content":"b"}')))
    assert exchange._reader.repeated.find(stream(choice('{"content":"c"}')), 0) is not None


def test_blank_lines_before_json_are_waited_out() -> None:
    body = b'\n\n\n \n{"id":"c","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
    told = three_ways(lambda: opened("deepseek", streamed=False), body, headers={"content-type": "application/json"})
    assert told.fault is None


def test_minimaxs_stream_in_openais_words() -> None:
    told = heard(
        "minimax",
        choice('{"role":"assistant","reasoning_details":[{"type":"reasoning.text","text":"why","index":0}]}'),
        choice('{"content":"<thi"}'),
        choice('{"content":"nk>more</think>\\n\\nso"}'),
        choice('{"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":""}}]}'),
        choice('{"tool_calls":[{"function":{"arguments":"{}"}}]}'),
        choice('{"tool_calls":[{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]}'),
        choice('{"content":"<"}', '"tool_calls"'),
        '{"object":"chat.completion","choices":[{"index":0,"message":{"content":"so"},"finish_reason":"stop"}],'
        '"usage":{"prompt_tokens":3,"completion_tokens":2},"base_resp":{"status_code":0}}',
        "[DONE]",
    )
    assert parts(told) == [
        Started(id="c"),
        ReasoningDelta("why"),
        ReasoningDelta("more"),
        TextDelta("so"),
        ToolCallDelta(position=0, id="t1", name="f"),
        ToolCallDelta(position=0, arguments="{}"),
        ToolCallDelta(position=1, id="t2", name="g", arguments="{}"),
        TextDelta("<"),
        Finish("tool_calls"),
    ]
    assert [usage.output_tokens for usage in usages(told)] == [2]
    assert b"reasoning_details" not in b"".join(raws(told)) and b"think" not in b"".join(raws(told))


def test_minimaxs_error_in_the_middle_of_a_stream() -> None:
    told = heard("minimax", choice('{"content":"a"}'), '{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rpm"}}')
    assert told.fault is not None and told.fault.code == "upstream_rate_limited"


def test_cumulative_texts_are_a_switch() -> None:
    data = [choice('{"content":"He"}'), choice('{"content":"Hello"}'), choice('{"content":"Hello"}', '"stop"'), "[DONE]"]

    def text(**options: Any) -> str:
        return "".join(part.text for part in parts(heard("minimax", *data, **options)) if isinstance(part, TextDelta))

    assert (text(), text(cumulative_text=True)) == ("HeHelloHello", "Hello")


def test_texts_that_are_not_cumulative_pass_the_switch() -> None:
    data = [choice('{"content":"He"}'), choice('{"content":"llo"}', '"stop"'), "[DONE]"]
    told = heard("minimax", *data, cumulative_text=True)
    assert [part.text for part in parts(told) if isinstance(part, TextDelta)] == ["He", "llo"]


def test_marks_leave_the_text_wherever_they_are_cut() -> None:
    marked = "a <|begin_of_box|>42<|end_of_box|> <|b"
    for at in range(len(marked)):
        pieces = [choice(json.dumps({"content": piece})) for piece in (marked[:at], marked[at:])]
        told = heard("glm", *pieces, choice("{}", '"stop"'), "[DONE]", model="glm-4.6v")
        assert "".join(part.text for part in parts(told) if isinstance(part, TextDelta)) == "a 42 <|b"


def test_sparks_calls_get_an_id_of_their_answer() -> None:
    call = '{"type":"function","function":{"name":"f","arguments":"{}"}}'
    told = heard("spark", choice(f'{{"tool_calls":{call}}}', more=',"sid":"cha1","code":0'), choice("{}", '"tool_calls"'))
    assert parts(told)[1] == ToolCallDelta(position=0, id="call_cha1_0_0", name="f", arguments="{}")


def test_a_stream_that_ends_with_usage_and_without_it() -> None:
    usage = ',"usage":{"prompt_tokens":3,"completion_tokens":2}'
    assert parts(heard("spark", choice('{"content":"a"}', more=usage), "[DONE]"))[-1] == Finish("stop")
    assert isinstance(heard("spark", choice('{"content":"a"}'), "[DONE]").fault, StreamTruncated)


def test_a_failure_told_as_a_finish_reason() -> None:
    told = heard("glm", choice('{"content":"a"}'), choice("{}", '"network_error"'), "[DONE]")
    assert told.fault is not None and told.fault.code == "upstream_error"
    assert TextDelta("a") in parts(told)


@pytest.mark.parametrize("name", ["kimi", "glm", "minimax"])
def test_more_than_one_choice_is_refused_where_there_is_but_one(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        opened(name, {"n": 2})
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "n")


def test_an_image_is_refused_where_the_model_would_make_up_what_it_shows() -> None:
    pictured = {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is this?"}, IMAGE]}]}
    with pytest.raises(BadRequest) as caught:
        opened("deepseek", pictured, model="deepseek-v4-pro")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "messages")
    assert sent("deepseek", pictured)[1]["messages"] == pictured["messages"]


@pytest.mark.parametrize(
    ("name", "fields", "dropped"),
    [
        ("kimi", {"top_p": 0.5, "tool_choice": "required", "api_base": "http://x"}, ("api_base", "tool_choice", "top_p")),
        ("glm", {"stop": ["a", "b"], "logprobs": True}, ("logprobs", "stop")),
        ("deepseek", {"user": "a b", "response_format": {"type": "json_schema"}}, ("response_format.json_schema", "user")),
        ("sensenova_compat", {"frequency_penalty": -1}, ("frequency_penalty",)),
        ("minimax", {"reasoning_split": False, "functions": []}, ("functions", "reasoning_split")),
        ("yi", {"enable_thinking": True, "seed": 7}, ("enable_thinking",)),
    ],
)
def test_what_is_left_out_is_named(name: str, fields: dict[str, Any], dropped: tuple[str, ...]) -> None:
    assert tuple(opened(name, fields).dropped) == dropped


def test_switches_are_off_by_default() -> None:
    pictured = {"messages": [{"role": "user", "content": [IMAGE]}]}
    assert sent("glm", pictured)[1]["messages"] == pictured["messages"]
    [message] = sent("glm", pictured, bare_images=True)[1]["messages"]
    assert message["content"] == [{"type": "image_url", "image_url": {"url": "AAAA", "detail": "low"}}]
    tools = {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}
    assert "tool_calls_switch" not in sent("spark", tools)[1]
    assert sent("spark", tools, tool_calls_switch=True)[1]["tool_calls_switch"] is True
    assert sent("qwen", streamed=False)[1]["stream"] is False
    assert sent("qwen", streamed=False, stream_only=True)[1]["stream"] is True


def test_paths_and_usage_may_be_told() -> None:
    send, body = sent("baichuan", path="/chat", usage_in_stream=True)
    assert (send.path, body["stream_options"]) == ("/chat", {"include_usage": True})
    assert "stream_options" not in sent("deepseek", usage_in_stream=False)[1]
    assert sent("spark", model="x1")[0].path == "/v2/chat/completions"


def test_a_forced_stream_and_one_that_is_not_streamed() -> None:
    send, body = sent("qwen", model="qwq-plus", streamed=False)
    assert (send.stream, body["stream"], body["stream_options"]) == (True, True, {"include_usage": True})
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}], "stream_options": {"include_usage": True}}
    send, body = sent("internlm", tools)
    assert (send.stream, "stream" in body, "stream_options" in body) == (False, False, False)


def test_the_clients_request_stays_as_it_is() -> None:
    asked = {
        "messages": [{"role": "developer", "content": "x"}, {"role": "system", "content": "y"}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "thinking": {"type": "enabled", "keep": None},
        "user": "ada",
    }
    before = json.dumps(asked)
    for name in ADAPTERS:
        opened(name, asked)
    assert json.dumps(asked) == before
