"""The client's wish to think or not → a vendor's own switch.

A client says it with `thinking: {"type": …}`, `enable_thinking` or `reasoning_effort`; where it says several, the first of
these decides, and an effort beside it still tells how much.
"""

from __future__ import annotations

from typing import Any

from adapters.profile import Thinking

_LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def write_thinking(body: dict[str, Any], switch: Thinking) -> list[str]:
    """Say in the vendor's words what the client wishes. Returns the fields that can't be said."""
    given = [name for name in ("thinking", "enable_thinking", "reasoning_effort") if name in body]
    if not given:
        return []
    thinking: dict[str, Any] = body.pop("thinking", {})
    enabled: bool | None = body.pop("enable_thinking", None)
    effort: str | None = body.pop("reasoning_effort", None)
    kind = thinking.get("type") or (None if enabled is None else "enabled" if enabled else "disabled")
    dropped = [] if switch.style == "type" else _write_budget(body, thinking, switch)
    if effort == "none" and "none" not in switch.efforts:
        kind = kind or "disabled"
    else:
        given = [name for name in given if name != "reasoning_effort"]
    if kind is not None and not _write_kind(body, kind, thinking, switch):
        dropped += given
    if effort is None or (effort == "none" and "none" not in switch.efforts):
        return dropped
    if kind == "disabled" or (not switch.efforts and kind is not None):
        dropped.append("reasoning_effort")
    elif switch.efforts:
        body["reasoning_effort"] = _nearest(effort, switch.efforts)
    elif not _write_kind(body, "enabled", {}, switch):
        dropped.append("reasoning_effort")
    return dropped


def _write_budget(body: dict[str, Any], thinking: dict[str, Any], switch: Thinking) -> list[str]:
    """What stands beside the type in `thinking`, where the vendor has no such object."""
    others = [name for name, value in thinking.items() if name != "type" and value is not None]
    if switch.style == "flag" and "budget_tokens" in others:
        body.setdefault("thinking_budget", thinking["budget_tokens"])
        others.remove("budget_tokens")
    return [f"thinking.{name}" for name in others]


def _write_kind(body: dict[str, Any], kind: str, thinking: dict[str, Any], switch: Thinking) -> bool:
    """Write enabled, disabled, auto or adaptive. False: the vendor has no word for it."""
    on = kind != "disabled"
    if switch.style == "type":
        if kind not in switch.types and kind == "enabled" and "adaptive" in switch.types:
            kind = "adaptive"
        if kind not in switch.types:
            return False
        body["thinking"] = {**thinking, "type": kind}
        return True
    if kind not in ("enabled", "disabled"):
        return False
    match switch.style:
        case "flag":
            body["enable_thinking"] = on
        case "mode":
            body["thinking_mode"] = on
        case "enabled":
            body["thinking"] = {"enabled": on}
        case "template":
            body["chat_template_kwargs"] = {**body.get("chat_template_kwargs", {}), "enable_thinking": on}
        case "effort" if not on and "none" in switch.efforts:
            body["reasoning_effort"] = "none"
        case "never":
            return False
        case _:
            return on  # it thinks anyway
    return True


def _nearest(effort: str, known: tuple[str, ...]) -> str:
    """The level itself, else the nearest that is known; of two, the higher."""
    at = _LEVELS.index(effort)
    return min(known, key=lambda level: (abs(_LEVELS.index(level) - at), -_LEVELS.index(level)))
