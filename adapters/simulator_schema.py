"""A value that is valid for a JSON Schema, for the simulator: the same one every time, made without chance.

Known: type (one or several), enum, const, properties, required, additionalProperties, minProperties,
maxProperties, items, prefixItems, minItems, maxItems, uniqueItems, minLength, maxLength, pattern (what
simulator_pattern reads), format, minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, anyOf,
oneOf, allOf, $ref into the same document, and the schemas true and false. Of oneOf the first alternative that
works is taken, and it isn't checked that no other holds as well; nor is a pattern beside enum or const. A format
counts where it stands without these three, as validators take it for an annotation. A schema that forbids by
other keywords is refused; annotations are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any
from urllib.parse import unquote

from adapters.simulator_merge import items_of, kinds, listed, merged, properties_of, same
from adapters.simulator_pattern import Unmakeable
from adapters.simulator_scalar import count, fits, number_for, text_for

_REFUSED = (
    "not", "if", "contains", "dependentSchemas", "dependentRequired", "dependencies", "propertyNames",
    "patternProperties", "$dynamicRef", "$recursiveRef",
)  # fmt: skip
_KINDS_BY_KEYWORD = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_MAX_STEPS = 10_000
_MAX_DEPTH = 40


def example(schema: Any) -> Any:
    """A value valid for this schema.

    Raises: Unmakeable: none is known, or it takes too long to find.
    """
    return _Search(schema).value(schema)


class _Search:
    """One search through one document.

    A $ref that is open further up isn't entered again: if there is a finite value at all, there is one
    without such a repetition. What is optional is left out where it can't be made.
    """

    def __init__(self, root: Any) -> None:
        self.root = root
        self.steps = 0

    def value(
        self,
        schema: Any,
        above: frozenset[str] = frozenset(),
        here: frozenset[str] = frozenset(),
        depth: int = 0,
    ) -> Any:
        """`above` and `here`: the references followed on the way to this value, and at it."""
        if not isinstance(schema, Mapping):
            schema = merged(schema, {})
        if schema is False:
            raise Unmakeable("the schema false")
        self._spend(schema, depth)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._either(_without(schema, keyword), listed(schema[keyword]), above, here, depth)
        if "allOf" in schema:
            rest = _without(schema, "allOf")
            for part in listed(schema["allOf"]):
                rest = merged(rest, part)
            return self.value(rest, above, here, depth + 1)
        if "$ref" in schema:
            name = str(schema["$ref"])
            if name in above:
                raise Unmakeable(f"$ref {name:.60} inside itself")
            target = True if name in here else self._target(name)
            return self.value(merged(_without(schema, "$ref"), target), above, here | {name}, depth + 1)
        return self._plain(schema, above | here, depth)

    def _either(
        self,
        rest: Mapping[str, Any],
        ways: Sequence[Any],
        above: frozenset[str],
        here: frozenset[str],
        depth: int,
    ) -> Any:
        obstacle = Unmakeable("no alternatives")
        for way in ways:
            if self.steps > _MAX_STEPS:
                break
            try:
                return self.value(merged(rest, way), above, here, depth + 1)
            except Unmakeable as reason:
                obstacle = reason
        raise obstacle

    def _plain(self, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> Any:
        if "const" in schema or "enum" in schema:
            for candidate in listed(schema["enum"]) if "enum" in schema else [schema["const"]]:
                if fits(candidate, schema):
                    return candidate
            raise Unmakeable("const or enum without a value that fits")
        obstacle = Unmakeable("no type")
        for kind in _kinds_of(schema):
            try:
                return self._of_kind(kind, schema, above, depth)
            except Unmakeable as reason:
                obstacle = reason
        raise obstacle

    def _of_kind(self, kind: str, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, above, depth)
            case "array":
                return self._array(schema, above, depth)
            case "string":
                return text_for(schema)
            case "integer" | "number":
                return number_for(schema, integer=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        raise Unmakeable(f"type {kind:.40}")

    def _object(self, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> dict[str, Any]:
        named, rest = properties_of(schema), schema.get("additionalProperties", True)
        required = [name for name in listed(schema.get("required")) if isinstance(name, str)]
        least, most = count(schema, "minProperties", 0), count(schema, "maxProperties", 1_000_000)
        made: dict[str, Any] = {}
        for name in required:
            made[name] = self.value(named.get(name, rest), above, depth=depth + 1)
        extra = (f"extra_{at}" for at in range(1, least + 1))
        for name in chain(named, extra):
            wanted = len(made) < (most if name in named else least)
            if name not in made and wanted:
                try:
                    made[name] = self.value(named.get(name, rest), above, depth=depth + 1)
                except Unmakeable:
                    if name not in named:
                        break
        if not least <= len(made) <= most:
            raise Unmakeable("object with another number of properties than it may have")
        order = {name: at for at, name in enumerate(named)}
        return dict(sorted(made.items(), key=lambda item: order.get(item[0], len(order))))

    def _array(self, schema: Mapping[str, Any], above: frozenset[str], depth: int) -> list[Any]:
        first, rest = items_of(schema)
        least, most = count(schema, "minItems", 0), count(schema, "maxItems", 1_000_000)
        made: list[Any] = []
        for at in range(min(most, max(least, len(first), 1))):
            try:
                item = self.value(first[at] if at < len(first) else rest, above, depth=depth + 1)
            except Unmakeable:
                break
            if schema.get("uniqueItems") is True and any(same(item, other) for other in made):
                break
            made.append(item)
        if len(made) < least:
            raise Unmakeable("array with fewer items than it must have")
        return made

    def _target(self, name: str) -> Any:
        """What a $ref means: "#" or "#/$defs/Name"."""
        if not name.startswith("#"):
            raise Unmakeable(f"$ref {name:.60} to another document")
        found = self.root
        for part in unquote(name[1:]).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and key in found:
                found = found[key]
            elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                raise Unmakeable(f"$ref {name:.60} to nothing")
        return found

    def _spend(self, schema: Mapping[str, Any], depth: int) -> None:
        """Keeps a hostile schema from keeping the process busy."""
        sizes = (len(part) for part in schema.values() if isinstance(part, list | Mapping))
        self.steps += 1 + len(schema) + sum(sizes)
        if self.steps > _MAX_STEPS or depth > _MAX_DEPTH:
            raise Unmakeable("too much of it")
        for keyword in _REFUSED:
            if keyword in schema:
                raise Unmakeable(f"keyword {keyword}")


def _without(schema: Mapping[str, Any], keyword: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key != keyword}


def _kinds_of(schema: Mapping[str, Any]) -> list[str]:
    """The types to try, null last; guessed from the other keywords where none is named."""
    if "type" in schema:
        return sorted(kinds(schema["type"]), key=lambda kind: kind == "null")
    guesses = [kind for kind, keywords in _KINDS_BY_KEYWORD.items() if schema.keys() & set(keywords)]
    return guesses or ["string"]
