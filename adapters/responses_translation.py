"""Ark's translation models, which have no Chat door: one text, and from which language into which.

The languages come from the request's own `translation_options: {"source_language"?, "target_language"}` or from the
provider's options. Such a model reads one message with one text, and translates all of it: it has no place for instructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.chat_fields import note_others, unsupported
from proxy import BadRequest

FIELD = "translation_options"
_SYSTEM = "messages[].role:system"
_LANGUAGES = ("source_language", "target_language")


def is_translation(model: str, asked: Mapping[str, Any], defaults: Mapping[str, str]) -> bool:
    """Whether the model translates. An endpoint's id (ep-…) doesn't tell; that languages are named does."""
    if model.startswith("ep-"):
        return bool(asked.get(FIELD) or defaults)
    return model.removeprefix("doubao-").startswith("seed-translation-")


def translation_items(asked: Mapping[str, Any], defaults: Mapping[str, str], left_out: list[str]) -> list[dict[str, Any]]:
    """The value of `input`.

    Args: asked: the client's body. defaults: languages where it names none. left_out: gets the names of what has no place.
    Raises: BadRequest: it is not one text, or no target language is named.
    """
    given = asked.get(FIELD) or {}
    if not isinstance(given, Mapping):
        raise BadRequest(f"'{FIELD}' must be an object.", param=FIELD)
    note_others(given, _LANGUAGES, FIELD, left_out)
    languages = {name: given.get(name) or defaults.get(name) for name in _LANGUAGES}
    for name, language in languages.items():
        if language is not None and not isinstance(language, str):
            raise BadRequest(f"'{FIELD}.{name}' must be a string, like \"en\".", param=f"{FIELD}.{name}")
    if not languages["target_language"]:
        raise BadRequest(
            f"This model translates: say into which language with '{FIELD}.target_language', like \"en\".",
            param=f"{FIELD}.target_language",
        )
    options = {name: language for name, language in languages.items() if language}
    text = {"type": "input_text", "text": _only_text(asked["messages"], left_out), FIELD: options}
    return [{"type": "message", "role": "user", "content": [text]}]


def _only_text(messages: Sequence[Mapping[str, Any]], left_out: list[str]) -> str:
    said = []
    for message in messages:
        if message["role"] in ("system", "developer"):
            left_out += [_SYSTEM] if _SYSTEM not in left_out else []
        else:
            said.append(message)
    if len(said) != 1 or said[0]["role"] != "user":
        raise unsupported("more or less than one message, from the user: it translates one text", "messages")
    note_others(said[0], ("role", "content"), "messages[]", left_out)
    content = said[0]["content"]
    if isinstance(content, str):
        return content
    for part in content:
        if part["type"] != "text":
            raise unsupported(f"content parts of type {part['type']!r}", "messages")
        note_others(part, ("type", "text"), "messages[].content[]", left_out)
    return "".join(part["text"] for part in content)
