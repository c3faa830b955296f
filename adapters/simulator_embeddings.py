"""Vectors without a model: the same text gets the same one, other texts get others that mean nothing."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import Any

from adapters.simulator_answer import refuse_too_long
from proxy import DONE, Answer, ChatRequest, Emit, Exchange, Finish, Step, Usage, dumps

DIMENSIONS = 256


class SimulatedEmbeddings(Exchange):
    """One vector for each input."""

    def __init__(self, chat: ChatRequest, context_tokens: int | None) -> None:
        self.dropped = sorted(chat.body.keys() - {"model", "input", "dimensions", "encoding_format", "user"})
        given = chat.body["input"]
        inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        size, as_text = chat.body.get("dimensions", DIMENSIONS), chat.body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _encoded(_vector(each, size), as_text)}
            for index, each in enumerate(inputs)
        ]
        body = {"object": "list", "data": data, "model": chat.model}
        words = sum(len(each.split()) if isinstance(each, str) else len(each) for each in inputs)
        self._words, self._context_tokens = words, context_tokens
        reported = {"prompt_tokens": words, "total_tokens": words}
        usage = Usage(input_tokens=words, output_tokens=0, reported=reported)
        self._step: Step = Emit((Answer(body, (Finish("stop"),)), usage))

    def next(self) -> Step:
        refuse_too_long(self._words, self._context_tokens)
        step, self._step = self._step, DONE
        return step


def _vector(text: Any, size: int) -> list[float]:
    """Of length 1, as embeddings are."""
    noise = hashlib.shake_256(dumps(text)).digest(size)
    length = sum((byte - 127.5) ** 2 for byte in noise) ** 0.5
    return [(byte - 127.5) / length for byte in noise]


def _encoded(vector: list[float], as_text: bool) -> list[float] | str:
    """as_text: in base64, as little-endian floats of 32 bits."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if as_text else vector
