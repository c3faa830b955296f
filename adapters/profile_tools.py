"""Tool calls as some families write them in streams: an index of -1, none at all, or an object instead of a list."""

from __future__ import annotations

from typing import Any

from adapters.openai_answer import index_of


class ToolCalls:
    """Mends the tool calls of one answer.

    A call that has an id or a name of its own begins at the next index; a piece without either goes on with the last.
    """

    def __init__(self, *, objects: bool) -> None:
        self._objects = objects
        """A call may stand where a list of calls is meant."""
        self._ids: dict[int, list[str | None]] = {}
        """{choice: ids of its calls, in their order}."""

    def __call__(self, values: dict[str, Any], member: str) -> bool:
        changed = False
        for choice in values.get("choices") or ():
            message = choice.get(member)
            calls = message.get("tool_calls") if isinstance(message, dict) else None
            if self._objects and isinstance(calls, dict):
                calls = message["tool_calls"] = [calls]
                changed = True
            if not isinstance(calls, list):
                continue
            for call in calls:
                if isinstance(call, dict) and self._mend(call, values, index_of(choice), member):
                    changed = True
        return changed

    def _mend(self, call: dict[str, Any], values: dict[str, Any], choice: int, member: str) -> bool:
        known = self._ids.setdefault(choice, [])
        function = call.get("function")
        identity = call.get("id") or None
        named = isinstance(function, dict) and bool(function.get("name"))
        told = call.get("index")
        if type(told) is int and 0 <= told < len(known):
            at = told
        elif identity in known and identity is not None:
            at = known.index(identity)
        else:
            at = len(known) if identity or named or not known else len(known) - 1
        changed = False
        if at == len(known):
            if identity is None:
                # Of this answer and this call, so that a conversation has none twice.
                answer = values.get("sid") or values.get("id") or "0"
                identity = call["id"] = f"call_{answer}_{choice}_{at}"
                changed = True
            known.append(identity)
            if not call.get("type"):
                call["type"], changed = "function", True
        if member == "delta" and told != at:
            call["index"], changed = at, True
        return changed
