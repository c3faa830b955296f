"""Volcengine Ark's and BytePlus ModelArk's Responses door, `POST /responses`: strict, with typed events.

Request: responses_request.py, responses_items.py, responses_translation.py. Answer: responses_response.py. Errors are those of
every Ark door: ark_errors.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from adapters.ark import plan_advice
from adapters.ark_errors import ark_error
from adapters.one_post import OnePost
from adapters.responses_request import ArkResponsesOptions, responses_body
from adapters.responses_response import ResponseReader
from proxy import ChatRequest, Exchange, Send, Target, dumps


class ArkResponses:
    """The adapter `ark_responses`."""

    name = "ark_responses"
    base_url: str | None = "https://ark.cn-beijing.volces.com/api/v3"
    signer = "volcengine"
    simulated = False
    counts_tool_calls = True
    options: type[BaseModel] = ArkResponsesOptions
    prompt_overhead_tokens = 512
    """As openai_chat's: a template's fixed texts; the rest is covered by the JSON around each message."""

    def open(self, chat: ChatRequest, target: Target) -> Exchange:
        """Raises: BadRequest: the request has what this door can't do."""
        options = target.options
        assert isinstance(options, ArkResponsesOptions)
        body, dropped = responses_body(chat, target, options)
        headers = {"accept": "text/event-stream" if chat.stream else "application/json"}
        if any(tool["type"] == "web_search" for tool in body.get("tools", ())):
            headers["ark-beta-web-search"] = "true"
        send = Send(path="/responses", body=dumps(body), headers=headers, stream=chat.stream)
        return OnePost(send, ResponseReader(body.get("service_tier")), ark_error, dropped)

    def advise(self, base_url: str) -> Sequence[str]:
        return plan_advice(base_url)
