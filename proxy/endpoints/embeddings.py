"""POST /v1/embeddings: a body's bytes → a request for vectors. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxy.chat import ChatRequest
from proxy.endpoints.chat import TEXT, Checks, integer, one_of, read_body, wrong
from proxy.errors import BadRequest

REQUIRED = ("model", "input")
MAX_INPUTS = 2048
"""As OpenAI's."""
MAX_DIMENSIONS = 2**16


def parse(raw: bytes) -> ChatRequest:
    """Read and check an Embeddings request: a text, tokens, several of either or, beyond OpenAI, parts of texts and pictures.

    Raises: BadRequest (invalid_json, or invalid_value with `param`).
    """
    return request_of(read_body(raw, REQUIRED, CHECKS), len(raw))


def request_of(body: Mapping[str, Any], body_bytes: int) -> ChatRequest:
    """What a checked body without nulls asks for."""
    return ChatRequest(body=body, body_bytes=body_bytes, model=body["model"], task="embeddings")


def _input(name: str, value: Any) -> None:
    if isinstance(value, str):
        if not value:
            raise BadRequest(f"{name!r} is empty.", param=name)
        return
    if not isinstance(value, list) or not 0 < len(value) <= MAX_INPUTS:
        raise wrong(name, value, f"a text or an array of 1 to {MAX_INPUTS}")
    kinds = {type(item) for item in value}
    if kinds == {int}:
        return
    if len(kinds) != 1:
        raise BadRequest(f"{name!r} must hold items of one kind.", param=name)
    for index, item in enumerate(value):
        _item(f"{name}[{index}]", item)


def _item(place: str, item: Any) -> None:
    match item:
        case str() if item:
            return
        case list() if item and all(type(token) is int for token in item):
            return
        case dict() if isinstance(item.get("type"), str):
            return
    raise wrong(place, item, "a text that is not empty, an array of tokens, or an object with a type")


CHECKS: Checks = {
    "model": TEXT,
    "input": _input,
    "dimensions": integer(1, MAX_DIMENSIONS),
    "encoding_format": one_of("float", "base64"),
    "user": TEXT,
}
