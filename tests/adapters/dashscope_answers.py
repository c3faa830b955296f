"""Exchanges of DashScope, and what it sends them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from adapters.dashscope import DashScope
from adapters.dashscope_options import DashScopeOptions
from proxy import Exchange
from tests.adapters import dialect

OPTIONS = DashScopeOptions()


def opened(
    model: str = "qwen-plus", options: DashScopeOptions = OPTIONS, adapter: DashScope | None = None, **fields: Any
) -> Exchange:
    chat = dialect.chat(fields, stream=fields.get("stream", False))
    return (adapter or DashScope()).open(chat, dialect.target(options, upstream_model=model))


def frame(values: Mapping[str, Any], status: int = 200) -> bytes:
    name = "result" if status == 200 else "error"
    return f"id:1\nevent:{name}\n:HTTP_STATUS/{status}\ndata:{json.dumps(values)}\n\n".encode()


def said(message: Mapping[str, Any], finish: str = "null", output_tokens: int = 1) -> dict[str, Any]:
    usage = {"input_tokens": 9, "output_tokens": output_tokens}
    return {"output": {"choices": [{"message": message, "finish_reason": finish}]}, "usage": usage, "request_id": "r-1"}
