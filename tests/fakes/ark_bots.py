"""`POST /api/v3/bots/chat/completions` of the fake Ark: Chat, with `bot_usage` and `references` instead of `usage`.

A bot plans with one small call before it answers, so its usage has two entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from tests.fakes.ark_chat import ArkChat
from tests.fakes.ark_checks import required
from tests.fakes.faults import Refusal
from tests.fakes.server import DONE, Event, Received, Reply, data_frame

PLANNER = "doubao-seed-2-0-mini-260215"
PLANNED_PROMPT, PLANNED_COMPLETION = 5, 2
_NOT_OF_BOTS = ("max_completion_tokens", "metadata")


class ArkBots(ArkChat):
    def answer(self, received: Received) -> Reply:
        asked = required(received.body, "model", "messages")
        bot = asked["model"]
        if bot not in self.ark.bots:
            raise Refusal(404, "InvalidEndpointOrModel.NotFound", f"The bot {bot} does not exist.")
        body = {name: value for name, value in asked.items() if name not in _NOT_OF_BOTS}
        reply = super().answer(replace(received, body={**body, "model": self.ark.bots[bot]}))
        if reply.meter is not None:
            reply.meter.prompt += PLANNED_PROMPT
            reply.meter.completion += PLANNED_COMPLETION
        if reply.events is not None:
            return replace(reply, events=self._events(reply.events))
        whole = dict(reply.body)
        usage = whole.pop("usage")
        return replace(reply, body=whole | self._bot_usage(usage) | self._references() | {"metadata": {}})

    def _events(self, events: Iterable[Event]) -> Iterator[Event]:
        """References ride on the first chunk, the usage on the last one."""
        members = self._references()
        for event in events:
            if event.frame == DONE:
                yield event
                continue
            chunk = json.loads(event.frame.removeprefix(b"data: "))
            usage = chunk.pop("usage")
            counted = {} if usage is None else self._bot_usage(usage)
            yield Event(data_frame(chunk | members | counted), event.tokens)
            members = {}

    def _references(self) -> dict[str, Any]:
        return {"references": self.ark.references} if self.ark.references else {}

    def _bot_usage(self, usage: dict[str, Any]) -> dict[str, Any]:
        planned = {"prompt_tokens": PLANNED_PROMPT, "completion_tokens": PLANNED_COMPLETION}
        planned["total_tokens"] = PLANNED_PROMPT + PLANNED_COMPLETION
        models = [{"name": PLANNER, **planned}, {"name": "answer", **usage}]
        searches = [{"action_name": "content_plugin", "count": 1}] if self.ark.references else []
        return {"bot_usage": {"model_usage": models, "action_usage": searches}}
