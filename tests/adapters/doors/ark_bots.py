"""What a bot on Ark sends: Ark's Chat, with its usage by model instead of `usage`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters.ark_bots import ArkBots
from proxy.testkit import Door, Reply, json_reply, stream_reply
from tests.adapters.doors import ark

PLAN = {"name": "plan", "prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3}


def by_model(value: Mapping[str, Any]) -> dict[str, Any]:
    """An answer or a chunk whose usage is told as that of two models which sum up to it."""
    usage = value.get("usage")
    if usage is None:
        return dict(value)
    answer = {**usage, **{name: usage[name] - PLAN[name] for name in PLAN if name != "name"}, "name": "answer"}
    rest = {name: member for name, member in value.items() if name != "usage"}
    return {**rest, "bot_usage": {"model_usage": [PLAN, answer], "action_usage": []}}


def told_by_a_bot(reply: Reply) -> Reply:
    if reply.streams:
        *events, done = [event.removeprefix("data: ") for event in reply.body.decode().strip().split("\n\n")]
        return stream_reply(*(by_model(json.loads(event)) for event in events), ended=done)
    return replace(json_reply(by_model(json.loads(reply.body))), status=reply.status)


DOOR = Door(
    adapter=ArkBots(),
    upstream_model="bot-20250101120000-ab1cd",
    answers={
        name: reply if name in ark.ERRORS or not isinstance(reply, Reply) else told_by_a_bot(reply)
        for name, reply in ark.DOOR.answers.items()
    },
)
