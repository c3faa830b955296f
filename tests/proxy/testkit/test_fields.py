from __future__ import annotations

from typing import get_args, get_type_hints

from openai.types.chat import completion_create_params as params
from openai.types.chat.chat_completion_content_part_param import ChatCompletionContentPartParam
from openai.types.chat.chat_completion_message_param import ChatCompletionMessageParam
from openai.types.chat.chat_completion_tool_union_param import ChatCompletionToolUnionParam

from proxy.testkit import FIELDS, field_cases
from proxy.testkit.door import asked
from proxy.testkit.fields import OF_THE_GATEWAY


def test_every_field_of_openais_request_has_a_case() -> None:
    fields = (
        params.CompletionCreateParamsStreaming.__annotations__.keys() | params.CompletionCreateParamsBase.__annotations__.keys()
    )
    assert fields - FIELDS.keys() - OF_THE_GATEWAY == set()
    assert fields & FIELDS.keys() & OF_THE_GATEWAY == set()


def test_every_member_of_openais_messages_has_a_case() -> None:
    cases = {case.name for case in field_cases()}
    members = {member for message in get_args(ChatCompletionMessageParam) for member in message.__annotations__}
    assert {f"messages[].{member}" for member in members - {"role", "content"}} - cases == set()


def test_every_role_of_openais_messages_is_asked_for() -> None:
    roles = {get_args(get_type_hints(message)["role"])[0] for message in get_args(ChatCompletionMessageParam)}
    assert {message["role"] for case in field_cases() for message in case.fields.get("messages", ())} == roles


def test_every_kind_of_openais_parts_and_tools_has_a_case() -> None:
    parts = {key for part in get_args(ChatCompletionContentPartParam) for key in part.__annotations__}
    cases = {case.name.rpartition(".")[2] for case in field_cases() if case.name.startswith("messages[].content[].")}
    assert parts - {"type", "text"} - cases == set()
    tools = {key for tool in get_args(ChatCompletionToolUnionParam) for key in tool.__annotations__}
    assert tools - {"type"} - {tool["type"] for case in field_cases() for tool in case.fields.get("tools", ())} == set()


def test_the_gateway_accepts_every_case() -> None:
    for case in field_cases():
        asked(case.fields)
        asked(case.without)
        assert case.fields != case.without
