"""The request that each task's endpoint takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.chat import ChatRequest, Task
from proxy.endpoints import chat, embeddings
from proxy.jsontext import dumps

SMALLEST: Mapping[Task, Mapping[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "embeddings": {"input": "Hello"},
}


def check(task: Task, body: Mapping[str, Any]) -> None:
    """Raises: BadRequest: it is no body of a request for this task."""
    endpoint = chat if task == "chat" else embeddings
    chat.check_members(body, endpoint.REQUIRED, endpoint.CHECKS)


def parse(task: Task, body: Mapping[str, Any]) -> ChatRequest:
    """A request as a client would send it. Raises: BadRequest."""
    return (chat.parse if task == "chat" else embeddings.parse)(dumps(body))


def request_of(task: Task, body: Mapping[str, Any], body_bytes: int) -> ChatRequest:
    """What a checked body without nulls asks for."""
    return (chat.request_of if task == "chat" else embeddings.request_of)(body, body_bytes)


def question(task: Task, body: Mapping[str, Any]) -> ChatRequest:
    """A request with these members, the smallest there is where they don't say what to answer. Raises: BadRequest."""
    return parse(task, {**SMALLEST[task], **body})
