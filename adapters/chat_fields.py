"""What adapters that translate a Chat Completions request share: how they name what they refuse and what they leave out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from proxy import TOOL_FIELDS, BadRequest


def unsupported(what: str, param: str) -> BadRequest:
    """A 400 for what the door has no words for. what: "tools of type 'custom'"."""
    return BadRequest(f"This model does not take {what}.", code="unsupported_parameter", param=param)


def note(name: str, left_out: list[str]) -> None:
    """Add a name to left_out, once."""
    if name not in left_out:
        left_out.append(name)


def note_others(values: Mapping[str, Any], read: Collection[str], place: str, left_out: list[str]) -> None:
    """Add the names of members that are not read to left_out, once each: "messages[].name"."""
    for name, value in values.items():
        if name not in read and value is not None:
            note(f"{place}.{name}", left_out)


def asked_text(values: Mapping[str, Any], name: str, place: str) -> str:
    """A member that is a text, "" where it is absent or null. Raises: BadRequest: it is something else."""
    value = values.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"'{place}.{name}' must be a string.", param=f"{place}.{name}")
    return value


def asked_tier(asked: Mapping[str, Any], tiers: Collection[str]) -> dict[str, Any]:
    """{"service_tier": …} if the client asks for one. Raises: BadRequest: it is none of these tiers."""
    tier = asked.get("service_tier")
    if tier is None:
        return {}
    if tier not in tiers:
        raise unsupported(f"service tier {tier!r}", "service_tier")
    return {"service_tier": tier}


def asked_function(choice: Mapping[str, Any]) -> Any:
    """The name of the function that a tool_choice forces. Raises: BadRequest: it forces something else."""
    function = choice.get("function")
    if choice.get("type") != "function" or not isinstance(function, Mapping):
        raise unsupported(f"tool_choice of type {choice.get('type')!r}", "tool_choice")
    return function.get("name")


def asked_schema(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The {"name", "schema", …} of a response_format of type json_schema. Raises: BadRequest: it has no schema."""
    named = wanted.get("json_schema")
    if not isinstance(named, Mapping) or not isinstance(named.get("schema"), Mapping):
        place = "response_format.json_schema.schema"
        raise BadRequest(f"'{place}' must be an object.", param=place)
    return named


def refuse_built_in(asked: Mapping[str, Any], remedy: str = "") -> None:
    """Raises: BadRequest: a field beside `tools` asks for a tool of the provider's own. remedy: "; name it in 'tools'"."""
    for name in TOOL_FIELDS:
        # An empty object asks for a search with the provider's defaults.
        if asked.get(name) not in (None, False, []):
            raise unsupported(f"{name!r}{remedy}", name)


def refuse_left_out(left_out: list[str]) -> None:
    """For `unknown_fields: reject`. Raises: BadRequest naming the first."""
    if left_out:
        raise unsupported(repr(left_out[0]), left_out[0])
