from __future__ import annotations

from typing import Any

import orjson

from adapters.ark import ARK, Ark, ArkOptions
from adapters.openai_chat import exchange as open_exchange
from adapters.openai_chat import post
from proxy import (
    Answer,
    ChatRequest,
    Exchange,
    Extra,
    Finish,
    Progress,
    ReasoningDelta,
    Started,
    TextDelta,
    UpstreamBusy,
    Usage,
    Verbatim,
)
from tests.adapters.dialect import JSON, Told, chat, parts, target, three_ways

MODEL = "doubao-seed-2-0-lite-260215"


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat(), ARK)


TAIL = '"created":1766000000,"id":"0217","model":"doubao-seed-2-0-lite-260215","service_tier":"default",'
TAIL += '"object":"chat.completion.chunk","usage":'


def ark_stream(*chunks: str, done: bool = True) -> bytes:
    """Frames as Ark writes them: each is the text of a choice, or "" for none."""
    frames = [f'data: {{"choices":[{chunk}],{TAIL}null}}\n\n' for chunk in chunks]
    return ("".join(frames) + ("data: [DONE]\n\n" if done else "")).encode()


def chunks_of(told: Told) -> list[dict[str, Any]]:
    events = [event for event in told.events if isinstance(event, Verbatim)]
    return [orjson.loads(event.raw.removeprefix(b"data:")) for event in events]


def test_stream_becomes_openais() -> None:
    body = ark_stream(
        '{"delta":{"content":"","reasoning_content":"2+2","role":"assistant"},"index":0}',
        '{"delta":{"content":"","encrypted_content":"zz","role":"assistant"},"index":0}',
        '{"delta":{"content":"4","role":"assistant"},"index":0}',
        '{"delta":{"content":"","role":"assistant"},"finish_reason":"stop","index":0}',
        done=False,
    )
    body += f'data: {{"choices":[],{TAIL}{{"prompt_tokens":20,"completion_tokens":31}}}}\n\ndata: [DONE]\n\n'.encode()
    told = three_ways(exchange, body, after=b"data: more\n\n")
    chunks = chunks_of(told)
    assert [chunk["choices"] for chunk in chunks] == [
        [{"delta": {"content": "", "reasoning_content": "2+2", "role": "assistant"}, "index": 0, "finish_reason": None}],
        [{"delta": {"content": "", "encrypted_content": "zz"}, "index": 0, "finish_reason": None}],
        [{"delta": {"content": "4"}, "index": 0, "finish_reason": None}],
        [{"delta": {"content": ""}, "finish_reason": "stop", "index": 0}],
    ]
    assert {chunk["model"] for chunk in chunks} == {"doubao-seed"}
    assert all(chunk["usage"] is None and chunk["id"] == "0217" for chunk in chunks)
    assert parts(told) == [
        Started(id="0217", created=1766000000, model=MODEL, fields={"service_tier": "default"}),
        ReasoningDelta("2+2"),
        Extra(delta={"encrypted_content": "zz"}),
        TextDelta("4"),
        Finish("stop"),
    ]
    assert told.events[-1] == Usage(
        input_tokens=20,
        output_tokens=31,
        service_tier="default",
        reported={"prompt_tokens": 20, "completion_tokens": 31},
    )


def test_role_is_said_once_per_choice() -> None:
    both = '{"delta":{"content":"a","role":"assistant"},"index":0},{"delta":{"content":"b","role":"assistant"},"index":1}'
    ends = '{"delta":{},"index":0,"finish_reason":"stop"},{"delta":{},"index":1,"finish_reason":"length"}'
    told = three_ways(exchange, ark_stream(both, both, ends))
    first, second, _ = chunks_of(told)
    assert [choice["delta"].get("role") for choice in first["choices"]] == ["assistant", "assistant"]
    assert [choice["delta"].get("role") for choice in second["choices"]] == [None, None]


def test_usage_on_every_chunk_is_collapsed() -> None:
    frame = 'data: {{"choices":[{{"delta":{{"content":"a"}},"index":0,"finish_reason":{}}}],"usage":{}}}\n\n'
    body = frame.format("null", '{"prompt_tokens":9,"completion_tokens":1}')
    body += frame.format('"stop"', '{"prompt_tokens":9,"completion_tokens":2}')
    told = three_ways(exchange, body.encode())
    assert all("usage" not in chunk for chunk in chunks_of(told))
    assert [event.output_tokens for event in told.events if isinstance(event, Usage)] == [2]


def test_stream_without_spaces_and_with_crlf() -> None:
    body = ark_stream('{"delta":{"content":"a"},"finish_reason":"stop","index":0}')
    told = three_ways(exchange, body.replace(b"data: ", b"data:").replace(b"\n", b"\r\n"))
    assert told.fault is None
    assert chunks_of(told)[0]["model"] == "doubao-seed"


def test_error_frame_in_a_stream() -> None:
    body = ark_stream('{"delta":{"content":"a"},"index":0}', done=False)
    body += b'data: {"error":{"code":"ServerOverloaded","message":"m","param":"","type":"TooManyRequests"}}\n\n'
    told = three_ways(exchange, body + b"data: [DONE]\n\n")
    assert isinstance(told.fault, UpstreamBusy)
    assert told.fault.progress is Progress.HEADERS_ONLY
    assert len(told.events) == 1


def test_json_answer() -> None:
    body = (
        b'{"id":"0217","object":"chat.completion","created":1766000000,"model":"doubao-seed-1-8-251228",'
        b'"service_tier":"default","choices":[{"index":0,"finish_reason":"stop","logprobs":null,'
        b'"moderation_hit_type":null,"message":{"role":"assistant","content":"4","reasoning_content":"2+2"}}],'
        b'"usage":{"prompt_tokens":20,"completion_tokens":31,"total_tokens":51,"prompt_tokens_details":{"cached_tokens":5},'
        b'"completion_tokens_details":{"reasoning_tokens":29}}}'
    )
    answer, usage = three_ways(exchange, body, headers=JSON).events
    assert isinstance(answer, Answer)
    assert answer.body["model"] == "doubao-seed"
    assert answer.parts[1:] == (ReasoningDelta("2+2"), TextDelta("4"), Finish("stop"))
    assert isinstance(usage, Usage)
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.reasoning_tokens) == (20, 5, 31, 29)


def test_byteplus_is_the_same_door_at_another_place() -> None:
    assert Ark().base_url == "https://ark.cn-beijing.volces.com/api/v3"
    request = ChatRequest(body={"messages": []}, body_bytes=1, model="seed")
    assert Ark().open(request, target(ArkOptions(), upstream_model="seed-2-0-pro-260328")).dropped == ()
