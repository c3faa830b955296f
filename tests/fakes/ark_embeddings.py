"""Ark's doors for vectors: texts one by one, and texts with pictures as one."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

from tests.fakes.ark_checks import required, without_nulls
from tests.fakes.ark_door import ArkDoor, check_door, invalid
from tests.fakes.server import Meter, Received, Reply

IMAGE_TOKENS = 1312


class ArkEmbeddings(ArkDoor):
    """`POST /embeddings`."""

    def answer(self, received: Received) -> Reply:
        body = without_nulls(required(received.body, "model", "input"))
        model_id, model = self.ark.resolve(body["model"])
        check_door(model_id, model.embeds == "texts")
        given = body["input"]
        texts = [given] if isinstance(given, str) else given
        for at, text in enumerate(texts):
            if not isinstance(text, str):
                raise invalid(f"input[{at}]", "The input must be text.")
        data = [{"object": "embedding", "index": at, "embedding": vector(text, body)} for at, text in enumerate(texts)]
        tokens = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        whole = {"id": received.id, "object": "list", "created": int(self.ark.now()), "model": model_id, "data": data}
        return Reply(body={**whole, "usage": usage}, meter=Meter(model=model_id, prompt=tokens))


class ArkMultimodalEmbeddings(ArkDoor):
    """`POST /embeddings/multimodal`: one vector for all, and `data` is no list."""

    def answer(self, received: Received) -> Reply:
        body = without_nulls(required(received.body, "model", "input"))
        model_id, model = self.ark.resolve(body["model"])
        check_door(model_id, model.embeds == "parts")
        parts = body["input"]
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise invalid("input", "The input must be a list of objects.")
        text = " ".join(part["text"] for part in parts if part["type"] == "text")
        images = sum(part["type"] == "image_url" for part in parts) * IMAGE_TOKENS
        words = len(text.split())
        whole = {"id": received.id, "object": "list", "created": int(self.ark.now()), "model": model_id}
        usage = {
            "prompt_tokens": words + images,
            "total_tokens": words + images,
            "prompt_tokens_details": {"text_tokens": words, "image_tokens": images},
        }
        data = {"object": "embedding", "embedding": vector(text, body)}
        return Reply(body={**whole, "data": data, "usage": usage}, meter=Meter(model=model_id, prompt=words + images))


def vector(text: str, body: Mapping[str, Any]) -> list[float] | str:
    """Four numbers that follow from the text, written as the request asks."""
    values = [float(len(text)), 0.5, -0.25, 0.0]
    return base64.b64encode(struct.pack("<4f", *values)).decode() if body.get("encoding_format") == "base64" else values
