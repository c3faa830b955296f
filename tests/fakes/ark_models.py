"""The models that the fake Ark hosts, as far as their answers differ on the wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Model:
    thinks: bool = True
    """Reasons unless told not to."""
    auto_thinks: bool = False
    """Accepts `thinking.type: auto`."""
    takes_reasoning: bool = True
    """Earlier reasoning may be sent back; the documents say to leave it out for others, and here those refuse it."""
    encrypts: bool = False
    """Its reasoning is a summary; the real chain goes along encrypted."""
    samples_freely: bool = False
    """Accepts stop, penalties and logprobs."""
    usage_always: bool = False
    """Streams end with usage even if nobody asked for it."""
    retiring: bool = False
    chats: bool = True
    """Has the Chat and Messages doors."""
    responds: bool = True
    """Has the Responses door."""
    translates: bool = False
    """Reads one text with translation_options, and nothing else."""
    embeds: str = ""
    """Makes vectors of "texts" or of "parts"."""
    context_tokens: int = 262144
    max_output_tokens: int = 32768


MODELS = {
    "doubao-seed-2-1-turbo-260628": Model(encrypts=True, max_output_tokens=262144),
    "doubao-seed-2-0-pro-260215": Model(max_output_tokens=131072),
    "doubao-seed-2-0-lite-260428": Model(encrypts=True, max_output_tokens=131072),
    "doubao-seed-2-0-lite-260215": Model(max_output_tokens=131072),
    "doubao-seed-2-0-mini-260215": Model(max_output_tokens=131072),
    "doubao-seed-2-0-code-preview-260215": Model(max_output_tokens=131072),
    "doubao-seed-1-8-251228": Model(retiring=True),
    "doubao-seed-code-preview-251028": Model(takes_reasoning=False, retiring=True),
    "doubao-seed-1-6-250615": Model(auto_thinks=True, takes_reasoning=False, retiring=True),
    "doubao-seed-character-251128": Model(thinks=False, samples_freely=True, takes_reasoning=False, context_tokens=131072),
    "doubao-1-5-pro-32k-250115": Model(
        thinks=False, samples_freely=True, takes_reasoning=False, retiring=True, responds=False
    ),
    "doubao-seed-translation-250915": Model(
        thinks=False, chats=False, translates=True, context_tokens=4096, max_output_tokens=3072
    ),
    "doubao-embedding": Model(thinks=False, chats=False, responds=False, embeds="texts", context_tokens=4096),
    "doubao-embedding-vision-251215": Model(thinks=False, chats=False, responds=False, embeds="parts", context_tokens=131072),
    "deepseek-v4-pro-ga-260813": Model(samples_freely=True, usage_always=True, context_tokens=1048576),
    "glm-5-2-260617": Model(usage_always=True, context_tokens=1048576),
}
