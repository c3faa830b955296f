"""A fake Volcengine Ark, data plane: Chat Completions, bots, Responses, the model list and the Anthropic-shaped Messages door.

It behaves as the vendor's SDKs, documents and recorded answers say, refusals included. Where they are silent:
a stream that breaks on the provider's side is billed like one that the client left, for what was generated;
an answer in JSON is billed whole as soon as its request is accepted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.answers import Answer
from tests.fakes.ark_bots import ArkBots
from tests.fakes.ark_chat import ArkChat
from tests.fakes.ark_door import ArkDoor
from tests.fakes.ark_embeddings import ArkEmbeddings, ArkMultimodalEmbeddings
from tests.fakes.ark_messages import ArkCountTokens, ArkMessages
from tests.fakes.ark_models import MODELS, Model
from tests.fakes.ark_responses import ArkResponses
from tests.fakes.faults import Refusal
from tests.fakes.server import FakeServer, Received, Reply

KEY = "ark-00000000-1111-4222-8333-444444444444-fake0"
ENDPOINT = "ep-20250101120000-ab1cd"
BOT = "bot-20250101120000-ab1cd"


class FakeArk(FakeServer):
    """`fake.base_url` is for OpenAI-shaped clients, `fake.messages_url` for Anthropic's."""

    base_path = "/api/v3"

    def __init__(
        self,
        *,
        key: str = KEY,
        models: Mapping[str, Model] = MODELS,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(now=now)
        self.key = key
        self.made_keys: dict[str, tuple[frozenset[str], int]] = {}
        """Short-lived keys → what each is good for, and until when in Unix seconds."""
        self.models = dict(models)
        self.endpoints = {ENDPOINT: "doubao-seed-2-0-lite-260215"}
        """ep-… id → model. The answer names the model."""
        self.bots = {BOT: "doubao-seed-2-0-lite-260215"}
        """bot-… id → the model it runs on."""
        self.references: list[dict[str, Any]] = []
        """What each bot's plugins find."""
        self.answer: Answer | None = None
        """What the model says from now on; None: something that follows from the request."""
        self.cached_tokens = 0
        """How many tokens of each prompt come out of the implicit cache."""
        self.fast_tier = True
        """False: `service_tier: fast` is refused, as on a plan."""
        self.hears = False
        """True: the Responses door takes input_audio; it was seen to refuse it."""
        self.fails_by_event = "error"
        """How a stream of the Responses door fails in the middle: error, or response.failed."""
        messages = "/api/compatible/v1/messages"
        self.doors = {
            ("POST", "/api/v3/chat/completions"): ArkChat(self),
            ("POST", "/api/v3/responses"): ArkResponses(self),
            ("POST", "/api/v3/bots/chat/completions"): ArkBots(self),
            ("POST", "/api/v3/embeddings"): ArkEmbeddings(self),
            ("POST", "/api/v3/embeddings/multimodal"): ArkMultimodalEmbeddings(self),
            ("GET", "/api/v3/models"): ArkModels(self),
            ("POST", messages): ArkMessages(self),
            ("POST", f"{messages}/count_tokens"): ArkCountTokens(self),
        }

    @property
    def messages_url(self) -> str:
        """Base URL of the Messages door; clients add /v1/messages."""
        return f"{self.origin}/api/compatible"

    def keys_for(self, name: str | None) -> list[str]:
        """Every key that opens this model, endpoint or bot now."""
        made = [key for key, (names, until) in self.made_keys.items() if name in names and self.now() < until]
        return [self.key, *made]

    def resolve(self, name: Any) -> tuple[str, Model]:
        """The dated model behind what a request asks for.

        Raises: Refusal: 404, no such model or endpoint.
        """
        model_id = self.endpoints.get(name, name)
        if model_id not in self.models:
            raise Refusal(
                404,
                "InvalidEndpointOrModel.NotFound",
                f"The model or endpoint {name} does not exist or you do not have access to it.",
            )
        return model_id, self.models[model_id]

    def new_id(self, number: int) -> str:
        """02, epoch milliseconds, and hex up to 53 characters."""
        tail = hashlib.sha256(f"{self.key}{number}".encode()).hexdigest()[:38]
        return f"02{int(self.now() * 1000)}{tail}"

    def reply_headers(self, received: Received) -> dict[str, str]:
        headers = super().reply_headers(received)
        if client_id := received.headers.get("X-Client-Request-Id"):
            headers["X-Client-Request-Id"] = client_id
        return headers


class ArkModels(ArkDoor):
    """`GET /api/v3/models`: everything that exists, whether or not the account has opened it."""

    def answer(self, received: Received) -> Reply:
        entries = [_listed(model_id, model) for model_id, model in self.ark.models.items()]
        return Reply(body={"object": "list", "data": entries})


def _listed(model_id: str, model: Model) -> dict[str, Any]:
    name, _, version = model_id.rpartition("-")
    entry: dict[str, Any] = {
        "id": model_id,
        "name": name,
        "version": version,
        "object": "model",
        "created": 1766000000,
        "domain": "LLM",
        "modalities": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "task_type": ["TextGeneration"],
        "token_limits": {
            "context_window": model.context_tokens,
            "max_input_token_length": model.context_tokens,
            "max_output_token_length": model.max_output_tokens,
            "max_reasoning_token_length": model.max_output_tokens if model.thinks else 0,
        },
        "features": {
            "structured_outputs": {"json_object": True, "json_schema": True},
            "tools": {"function_calling": True},
        },
    }
    if model.retiring:
        entry["status"] = "Retiring"
    return entry
