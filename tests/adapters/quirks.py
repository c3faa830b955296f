"""Each quirk of each profile, as a question to the family's fake and what its client must see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.adapters.asking import HI, Case
from tests.fakes.answers import Answer

JSON_TEXT = '{"answer":"hi"}'


def tool(name: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER, CLOCK = tool("get_weather"), tool("get_time")
CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
AFTER_TOOLS = [
    {"role": "user", "content": "use get_weather"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "22"},
]


def thinking(*, wish: Mapping[str, Any], thinks: bool, model: str = "") -> Case:
    return Case(fields=wish, thinks=thinks, model=model)


OFF: Mapping[str, Any] = {"enable_thinking": False}
ON: Mapping[str, Any] = {"enable_thinking": True}
TYPE_ON: Mapping[str, Any] = {"thinking": {"type": "enabled"}}
DEVELOPER = Case(fields={"messages": [{"role": "developer", "content": "be brief"}, HI]})
TEXTS = Case(fields={"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]})
EMPTY = Case(fields={"messages": [HI, {"role": "assistant", "content": ""}, HI]})
REPLAY = Case(fields={"messages": AFTER_TOOLS, "tools": [WEATHER]}, text="The tool said: 22")
SCHEMA = Case(fields={"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, text=JSON_TEXT)
USE_ONE = {"messages": [{"role": "user", "content": "use get_weather"}], "tools": [WEATHER]}
USE_TWO = {
    "messages": [{"role": "user", "content": "use get_weather and get_time"}],
    "tools": [WEATHER, CLOCK],
}
ONE_CALL = ((0, "get_weather", '{"city":"text"}'),)
TWO_CALLS = (*ONE_CALL, (1, "get_time", '{"city":"text"}'))
STREAMED_CALLS = Case(fields=USE_TWO, stream=True, text="", calls=TWO_CALLS, finished="tool_calls")
STREAMED_CALL = Case(fields=USE_ONE, stream=True, text="", calls=ONE_CALL, finished="tool_calls")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def temperature(value: float, *, model: str = "", thinks: bool | None = None) -> Case:
    return Case(fields={"temperature": value}, model=model, thinks=thinks)


def failing(status: int, code: str, error: str, request_id: str = "", retry_after_s: float | None = None) -> Case:
    return Case(fail=(status, code), error=error, request_id=request_id, retry_after_s=retry_after_s)


def _details_sent(body: dict[str, Any]) -> bool:
    return body["messages"][1].get("reasoning_details") == [{"type": "reasoning.text", "text": "because", "index": 0}]


BUSY, MONEY, MODEL = "upstream_rate_limited", "upstream_quota_exhausted", "upstream_model_unavailable"
GLM_MARKED = Answer(text="<|begin_of_box|>42<|end_of_box|>")
CASES: dict[str, dict[str, Case]] = {
    "deepseek": {
        "text_only": replace(TEXTS, model="deepseek-v4-pro"),
        "replay_reasoning": REPLAY,
        "thinking": thinking(wish=OFF, thinks=False),
        "user_field": Case(fields={"user": "ada"}),
        "user_pattern": Case(fields={"user": "ada lovelace"}),
        "no_json_schema": SCHEMA,
        "finish_reasons": Case(finish="insufficient_system_resource", error="upstream_error"),
    },
    "kimi": {
        "cap_field": Case(sent=lambda body: body.get("max_completion_tokens") == 1000),
        "no_empty_content": EMPTY,
        "replay_reasoning": REPLAY,
        "thinking": thinking(wish=OFF, thinks=False),
        "within": temperature(1.5, model="moonshot-v1-8k", thinks=False),
        "left_out": temperature(0.5),
        "one_choice": Case(fields={"n": 1}),
        "tool_choices": Case(fields={"tools": [WEATHER], "tool_choice": "required"}),
        "loose_tools": Case(fields={"tools": [WEATHER]}),
        "usage_in_choice": Case(stream=True),
        "errors": failing(429, "exceeded_current_quota_error", MONEY),
    },
    "qwen": {
        "stream_only": Case(model="qwq-plus"),
        "thinking": thinking(wish=TYPE_ON, thinks=True),
        "within": temperature(2),
        "left_out": Case(fields={"frequency_penalty": 0.5}),
        "no_json_schema": SCHEMA,
        "errors": failing(400, "Arrearage", MONEY, "req_1"),
        "request_id_members": failing(429, "Throttling.RateQuota", BUSY, "req_1"),
    },
    "glm": {
        "thinking": thinking(wish=OFF, thinks=False),
        "within": temperature(1.5),
        "left_out": Case(fields={"presence_penalty": 0.5}),
        "user_field": Case(fields={"user": "ada"}),
        "one_choice": Case(fields={"n": 1}),
        "one_stop": Case(fields={"stop": ["ZZ", "QQ"]}),
        "do_sample": temperature(0),
        "tool_choices": Case(fields={**USE_ONE, "tool_choice": "none"}, text="Hello, you said: use get_weather"),
        "dropped_marks": Case(model="glm-4.6v", answer=GLM_MARKED, text="42", stream=True),
        "tool_index_fix": STREAMED_CALLS,
        "finish_reasons": Case(finish="sensitive", finished="content_filter", stream=True),
        "errors": failing(429, "1113", MONEY, "req_1"),
        "request_id_members": failing(429, "1302", BUSY, "req_1"),
    },
    "ernie": {
        "alternating_roles": Case(
            fields={"messages": [{"role": "user", "content": "hello"}, HI]}, text="Hello, you said: hello\n\nhi"
        ),
        "no_empty_content": EMPTY,
        "thinking": thinking(wish=TYPE_ON, thinks=True),
        "within": temperature(1.5),
        "errors": failing(200, "tpm_rate_limit_exceeded", BUSY, "req_1"),
        "error_members": failing(200, "rpm_rate_limit_exceeded", BUSY, "req_1"),
        "request_id_headers": failing(200, "rpm_rate_limit_exceeded", BUSY, "req_1"),
    },
    "hunyuan": {
        "thinking": thinking(wish=ON, thinks=True),
        "errors": failing(402, "403004", MODEL, "req_1"),
        "request_id_members": failing(429, "429001", BUSY, "req_1"),
    },
    "minimax": {
        "cap_field": Case(sent=lambda body: body.get("max_completion_tokens") == 1000),
        "always_sent": Case(sent=lambda body: body.get("reasoning_split") is True),
        "text_only": replace(TEXTS, model="MiniMax-M2.7"),
        "replay_as_details": Case(
            fields={"messages": [HI, {"role": "assistant", "content": "x", "reasoning_content": "because"}, HI]},
            sent=_details_sent,
        ),
        "thinking": thinking(wish=OFF, thinks=False),
        "within": temperature(0),
        "left_out": Case(fields={"presence_penalty": 0.5}),
        "one_choice": Case(fields={"n": 1}),
        "reasoning_names": Case(stream=True),
        "think_tags": Case(stream=True, habits={"reasoning_as": lambda body: "think"}),
        "repeats_message": Case(stream=True),
        "tool_index_fix": STREAMED_CALLS,
        "errors": failing(200, "1008", MONEY),
        "error_members": failing(200, "1008", MONEY),
    },
    "stepfun": {
        "always_sent": Case(stream=True),
        "thinking": thinking(wish=ON, thinks=True),
        "user_characters": Case(fields={"user": "ada" * 20}),
    },
    "baichuan": {
        "usage_in_stream": Case(stream=True),
        "thinking": thinking(wish=ON, thinks=False),
        "within": temperature(1.5),
    },
    "spark": {
        "paths": Case(model="4.0Ultra", thinks=False),
        "most_output_tokens": Case(model="4.0Ultra", thinks=False, cap=9000),
        "usage_in_stream": Case(stream=True),
        "thinking": thinking(wish=OFF, thinks=False),
        "within": temperature(1.5),
        "left_out": Case(fields={"user": "ada"}),
        "tool_object_fix": STREAMED_CALL,
        "usage_ends": Case(stream=True),
        "errors": failing(200, "11200", "upstream_auth_failed", "req_1"),
        "error_members": failing(200, "10008", BUSY, "req_1"),
        "request_id_members": failing(200, "10008", BUSY, "req_1"),
    },
    "sensenova": {
        "replay_reasoning": replace(REPLAY, model="deepseek-v4-pro"),
        "thinking": thinking(wish=OFF, thinks=False),
        "reasoning_names": Case(stream=True),
        "errors": failing(403, "plan", MODEL, "req_1"),
        "request_id_members": failing(429, "rate_limit", BUSY, "req_1"),
    },
    "sensenova_compat": {
        "cap_field": Case(sent=lambda body: body.get("max_new_tokens") == 1000),
        "flat_images": Case(
            fields={"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, IMAGE]}]},
            sent=lambda body: body["messages"][0]["content"][1] == {"type": "image_base64", "image_base64": "AAAA"},
        ),
        "thinking": thinking(wish=ON, thinks=True),
        "within": temperature(0),
    },
    "pangu": {
        "replay_reasoning": replace(REPLAY, model="deepseek-v4-pro"),
        "thinking": thinking(wish=OFF, thinks=False, model="qwen3-32b"),
        "errors": failing(401, "ModelArts.81006", MONEY, "req_1"),
        "error_members": failing(401, "ModelArts.81005", MONEY, "req_1"),
    },
    "zhinao": {
        "tools_unstreamed": STREAMED_CALL,
        "thinking": thinking(wish=ON, thinks=False),
        "within": temperature(1.5),
    },
    "yi": {"thinking": thinking(wish=ON, thinks=False)},
    "internlm": {
        "tools_unstreamed": STREAMED_CALL,
        "thinking": thinking(wish=ON, thinks=True),
    },
    "longcat": {
        "text_only": TEXTS,
        "thinking": thinking(wish=OFF, thinks=False),
        "within": temperature(1.5),
        "retry_after_member": failing(429, "rate_limit_exceeded", BUSY, retry_after_s=60),
    },
}
for _cases in CASES.values():
    _cases["system_role_only"] = DEVELOPER
