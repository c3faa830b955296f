from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.openai_chat import exchange as open_exchange
from adapters.openai_chat import post
from proxy import (
    Exchange,
    Extra,
    Finish,
    Progress,
    ReasoningDelta,
    Started,
    StreamTruncated,
    TextDelta,
    ToolCallDelta,
    UpstreamBusy,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamRefused,
    Usage,
    Verbatim,
)
from tests.adapters.dialect import (
    FINISHED,
    SSE,
    UNFINISHED,
    Told,
    chat,
    hear,
    parts,
    raws,
    stream,
    three_ways,
    usages,
)


def exchange() -> Exchange:
    return open_exchange(post("/chat/completions", {}, stream=True), chat())


def streamed(*data: str) -> Told:
    return three_ways(exchange, stream(*data))


def test_stream_passes_with_the_clients_name_for_the_model() -> None:
    told = three_ways(
        exchange,
        b": hello\n\n"
        b'data: {"id":"c1","created":7,"model":"up-1","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
        b'data: {"model": "up-1", "choices": [{"index": 0, "delta": {"content": "\\"model\\": \\"up-1\\""}}]}\n\n'
        b": still here\n\n"
        b'data: {"choices":[{"index":0,"delta":{"x":{"model":"up-1"}},"finish_reason":"stop"}],"model":"up-1"}\n\n'
        b'data: {"choices":[],"model":"up-1","usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
        b"data: [DONE]\n\n",
        after=b"data: {broken\n\n: comment\n\n",
    )
    assert raws(told) == [
        b": hello\n\n",
        b'data: {"id":"c1","created":7,"model":"doubao-seed","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n',
        b'data: {"model": "doubao-seed", "choices": [{"index": 0, "delta": {"content": "\\"model\\": \\"up-1\\""}}]}\n\n',
        b": still here\n\n",
        b'data: {"choices":[{"index":0,"delta":{"x":{"model":"up-1"}},"finish_reason":"stop"}],"model":"doubao-seed"}\n\n',
    ]
    assert [event.parts for event in told.events if isinstance(event, Verbatim)] == [
        (),
        (Started(id="c1", created=7, model="up-1"),),
        (TextDelta('"model": "up-1"'),),
        (),
        (Extra(delta={"x": {"model": "up-1"}}), Finish("stop")),
    ]
    assert usages(told) == [Usage(input_tokens=3, output_tokens=2, reported={"prompt_tokens": 3, "completion_tokens": 2})]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"mod\\u0065l":"up-1","a":{"model":"up-1"}}', '{"mod\\u0065l":"doubao-seed","a":{"model":"up-1"}}'),
        ('{"model":"up-1","model":"up-1"}', '{"model":"doubao-seed","model":"doubao-seed"}'),
        ('{"a":"model","model" : "up-1" }', '{"a":"model","model" : "doubao-seed" }'),
        ('{"model":"up\\u002d1"}', '{"model":"doubao-seed"}'),
        ('{"model":null}', '{"model":"doubao-seed"}'),
        ('{"model":"\\ud800","a":"\\ud800"}', '{"model":"doubao-seed","a":"\\ud800"}'),
        ('{"a":{"model":"up-1"}}', '{"a":{"model":"up-1"}}'),
        ('{"model":"doubao-seed" , "n":1e2}', '{"model":"doubao-seed" , "n":1e2}'),
        ("{}", "{}"),
    ],
)
def test_only_the_top_level_model_changes(data: str, expected: str) -> None:
    told = three_ways(exchange, stream(UNFINISHED, data))
    assert raws(told)[1:] == [f"data: {expected}\n\n".encode()]


def test_other_lines_of_a_changed_event_stay() -> None:
    told = three_ways(exchange, stream(UNFINISHED) + b': c\nid: 1\ndata: {"model":\ndata: "up-1"}\n\n')
    assert raws(told)[1:] == [b': c\nid: 1\ndata: {"model":\ndata: "doubao-seed"}\n\n']


def test_crlf_stream_passes_as_it_came() -> None:
    body = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\r\n\r\ndata: [DONE]\r\n\r\n'
    told = three_ways(exchange, body)
    assert raws(told) == [body[: body.index(b"data: [DONE]")]]
    assert told.fault is None


def test_broken_utf8_reaches_the_client_as_utf8() -> None:
    told = three_ways(exchange, b'data: {"choices":[{"delta":{"content":"\xff"},"finish_reason":"stop"}]}\n\n')
    assert raws(told) == ['data: {"choices":[{"delta":{"content":"\ufffd"},"finish_reason":"stop"}]}\n\n'.encode()]


def test_a_cut_before_the_second_choice_began_is_no_end() -> None:
    def two() -> Exchange:
        return open_exchange(post("/chat/completions", {}, stream=True), replace(chat(), n=2))

    first = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    assert isinstance(three_ways(two, first.encode()).fault, StreamTruncated)
    assert three_ways(two, first.encode() + b"data: [DONE]\n\n").fault is None


def test_what_deltas_say() -> None:
    told = streamed(
        '{"service_tier":"default","choices":[{"index":1,"delta":{"reasoning_content":"r","content":""}}]}',
        '{"choices":[{"index":1,"delta":{"tool_calls":[{"index":2,"id":"t","type":"function",'
        '"function":{"name":"f","arguments":" {"}}]}}]}',
        '{"choices":[{"index":1,"delta":{"tool_calls":[{"index":2,"function":{"arguments":"}"}}]}}]}',
        '{"choices":[{"index":1,"delta":{"refusal":"no"},"logprobs":{"content":[]},"finish_reason":null}]}',
        '{"choices":[{"index":1,"delta":{},"finish_reason":"tool_calls"}]}',
        "[DONE]",
    )
    assert parts(told) == [
        Started(fields={"service_tier": "default"}),
        ReasoningDelta("r", 1),
        ToolCallDelta(position=2, id="t", name="f", arguments=" {", index=1),
        ToolCallDelta(position=2, arguments="}", index=1),
        Extra(delta={"refusal": "no"}, index=1),
        Extra(choice={"logprobs": {"content": []}}, index=1),
        Finish("tool_calls", 1),
    ]


def test_usage_is_taken_out_wherever_it_stands() -> None:
    told = streamed(
        '{"usage":{"prompt_tokens":9,"completion_tokens":1},"choices":[{"delta":{"content":"a"}}],"model":"x"}',
        '{"choices":[{"delta":{"content":"b"}}], "usage": {"prompt_tokens":9,"completion_tokens":2}}',
        '{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}',
        "[DONE]",
    )
    assert raws(told) == [
        b'data: {"choices":[{"delta":{"content":"a"}}],"model":"doubao-seed"}\n\n',
        b'data: {"choices":[{"delta":{"content":"b"}}]}\n\n',
        b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n',
    ]
    assert [usage.output_tokens for usage in usages(told)] == [2]


def test_usage_that_falls_is_a_fault_and_the_higher_one_stands() -> None:
    told = streamed(
        '{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5}}',
        '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":0}}',
    )
    assert [usage.output_tokens for usage in usages(told)] == [5]


def test_finish_without_terminator_is_complete() -> None:
    told = streamed(FINISHED)
    assert told.fault is None
    assert usages(told) == []


@pytest.mark.parametrize(
    "data",
    [
        [UNFINISHED],
        [UNFINISHED, "[DONE]"],
        [FINISHED, '{"choices":[{"index":1,"delta":{"content":"b"}}]}', "[DONE]"],
        ["[DONE]"],
        [],
    ],
)
def test_choice_without_finish_is_truncated(data: list[str]) -> None:
    told = three_ways(exchange, stream(*data) or b": only a comment\n\n")
    assert isinstance(told.fault, StreamTruncated)


def test_terminator_completes_before_the_body_ends() -> None:
    opened = exchange()
    opened.feed_head(200, SSE)
    events = opened.feed_data(stream(FINISHED, '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}', "[DONE]"))
    assert isinstance(events[-1], Usage)
    assert opened.complete


@pytest.mark.parametrize(
    "data", ["{broken", "[]", "7", '{"a":1}x', '{"a":NaN}', '{"choices":7}', '{"choices":[7]}', "[" * 9999, '{"a":' * 9999]
)
def test_event_that_is_no_chunk_breaks_the_protocol(data: str) -> None:
    told = hear(exchange(), [stream(UNFINISHED, data)])
    assert type(told.fault) is UpstreamProtocolError
    assert raws(told) == [stream(UNFINISHED)]


def test_empty_events_are_not_passed() -> None:
    told = three_ways(exchange, b"data:\n\ndata: \n\n" + stream(FINISHED))
    assert raws(told) == [stream(FINISHED)]


def test_what_comes_before_the_first_choice_waits_for_it() -> None:
    opened = exchange()
    opened.feed_head(200, SSE)
    assert opened.feed_data(b": one\n\n") == []
    assert opened.feed_data(stream('{"id":"c1","choices":[],"prompt_filter_results":[]}')) == []
    assert len(opened.feed_data(stream(UNFINISHED))) == 3
    assert len(opened.feed_data(b": two\n\n")) == 1


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ('{"error":{"message":"x","type":"server_error","code":null}}', UpstreamFailed, 500),
        ('{"error":{"message":"x","code":429}}', UpstreamBusy, 429),
        ('{"error":{"code":"rate_limit_exceeded","message":"x"}}', UpstreamBusy, 429),
        ('{"error":{"type":"invalid_request_error","message":"x"}}', UpstreamRefused, 400),
        ('{"error":{"type":"TooManyRequests","code":"","message":"x"}}', UpstreamBusy, 429),
        ('{"error":"some text"}', UpstreamFailed, 500),
        ('{"error":{"status":503,"message":"x"},"choices":[]}', UpstreamFailed, 503),
    ],
)
def test_error_in_a_stream_is_raised_as_what_it_stands_for(error: str, kind: type, status: int) -> None:
    first = streamed(error).fault
    later = streamed(UNFINISHED, error)
    assert later.fault is not None
    assert raws(later) == [stream(UNFINISHED)]
    for fault in (first, later.fault):
        assert fault is not None
        assert isinstance(fault, kind)
        assert fault.upstream["status"] == status
        assert fault.progress is Progress.HEADERS_ONLY


def test_event_named_error_is_one() -> None:
    told = three_ways(exchange, b'event: error\ndata: {"code":"overloaded_error","message":"x"}\n\n')
    assert isinstance(told.fault, UpstreamFailed)


CHUNKS = st.lists(
    st.sampled_from(
        [
            UNFINISHED,
            FINISHED,
            '{"model":"up-1","choices":[{"delta":{"content":"你"},"index":0}]}',
            '{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
            '{"error":{"message":"x"}}',
            "[DONE]",
        ]
    )
)


@given(CHUNKS, st.lists(st.integers(1, 60)), st.sampled_from(["\n", "\r\n", "\r"]))
def test_cuts_never_show(data: list[str], sizes: list[int], end: str) -> None:
    body = stream(*data).replace(b"\n", end.encode())
    chunks, rest = [], body
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    whole, cut = hear(exchange(), [body]), hear(exchange(), [*chunks, rest])
    assert cut.events == whole.events
    assert repr(cut.fault) == repr(whole.fault)


@pytest.mark.parametrize("done", ["[DONE]", " [DONE] ", '"[DONE]"', "[done]", "[DONE]{}"])
def test_done_may_be_written_oddly(done: str) -> None:
    assert three_ways(exchange, stream(FINISHED, done), after=stream("oops", UNFINISHED)).fault is None
    assert isinstance(three_ways(exchange, stream(UNFINISHED, done)).fault, StreamTruncated)


def test_an_event_that_is_called_an_error_is_one_whatever_it_says() -> None:
    told = three_ways(exchange, stream(UNFINISHED) + b"event: error\ndata: key sk-1 is bad\n\n")
    assert isinstance(told.fault, UpstreamFailed) and told.fault.detail == "key sk-1 is bad"
    assert "sk-1" not in str(told.fault.body())


def test_an_error_in_a_stream_without_its_data_does_not_pass() -> None:
    told = three_ways(exchange, stream(UNFINISHED) + b'{"error": "bad key sk-1"}\n\n' + stream("[DONE]"))
    assert isinstance(told.fault, StreamTruncated) and b"sk-1" not in b"".join(raws(told))


COUNTS = '"usage":{"prompt_tokens":3,"completion_tokens":2}'


@pytest.mark.parametrize(
    ("twice", "counted"),
    [
        (f"{COUNTS},{COUNTS}", [(3, 2)]),
        (f'"usage":null,{COUNTS}', [(3, 2)]),
        (f'{COUNTS},"usage":null', []),
        ('"usage":null,"usage":null', []),
    ],
)
def test_usage_that_is_there_twice_reaches_no_client(twice: str, counted: list[tuple[int, int]]) -> None:
    told = streamed('{"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":"stop"}],' + twice + "}", "[DONE]")
    assert not any(b"usage" in raw for raw in raws(told))
    assert [(usage.input_tokens, usage.output_tokens) for usage in usages(told)] == counted
