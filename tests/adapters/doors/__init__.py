"""DOORS: every adapter under test, with what its provider sends. To add one: a file here, and a line below."""

from __future__ import annotations

from proxy.testkit import Door
from tests.adapters.doors import (
    anthropic_messages,
    ark,
    ark_bots,
    ark_messages,
    ark_responses,
    coze,
    dashscope,
    minimax_messages,
    openai_chat,
    profiles,
    simulator,
)

DOORS: tuple[Door, ...] = (
    openai_chat.DOOR,
    ark.DOOR,
    ark_bots.DOOR,
    ark_messages.DOOR,
    ark_responses.DOOR,
    coze.STREAMING,
    coze.POLLING,
    dashscope.TEXT_DOOR,
    dashscope.MULTIMODAL_DOOR,
    minimax_messages.DOOR,
    anthropic_messages.DOOR,
    *profiles.DOORS,
    simulator.DOOR,
)
