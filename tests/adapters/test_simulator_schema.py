"""example: a schema in, a value that jsonschema accepts out, or Unmakeable."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from adapters.simulator_pattern import Unmakeable, text_matching
from adapters.simulator_schema import example

TANGLE = {"type": "object", "properties": {name: {"$ref": f"#/$defs/{name}"} for name in "0123456789"}}
NODE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer", "minimum": 3},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value", "next", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/Node",
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (True, "simulated"),
        ({}, "simulated"),
        ({"type": "string", "minLength": 12, "maxLength": 12}, "simulatedsim"),
        ({"type": "string", "maxLength": 3}, "sim"),
        ({"type": "string", "format": "date-time"}, "2026-01-02T03:04:05Z"),
        ({"type": "string", "pattern": r"^[A-Z]{2}-\d{3}$"}, "AA-000"),
        ({"type": ["null", "integer"], "exclusiveMinimum": 4}, 5),
        ({"type": "integer", "minimum": 10, "multipleOf": 7}, 14),
        ({"type": "number", "minimum": 0.2, "maximum": 0.4}, 0.2),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"type": "string", "enum": [1, "b"]}, "b"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array", "prefixItems": [{"const": "x"}], "items": False}, ["x"]),
        ({"properties": {"a": {"type": "integer"}}, "required": ["b"]}, {"a": 1, "b": "simulated"}),
        ({"type": "object", "properties": {"a": False, "b": True}}, {"b": "simulated"}),
        ({"type": "object", "minProperties": 1}, {"extra_1": "simulated"}),
        ({"oneOf": [{"type": "string", "minLength": 9, "maxLength": 1}, {"type": "integer"}]}, 1),
        (
            {"allOf": [{"properties": {"a": {"minimum": 3}}}, {"properties": {"a": {"type": "integer"}}}]},
            {"a": 3},
        ),
        ({"$defs": {"a/b": {"const": 1}}, "$ref": "#/$defs/a~1b", "description": "one"}, 1),
        (NODE, {"value": 3, "next": None, "children": []}),
    ],
)
def test_values(schema: Any, value: Any) -> None:
    assert example(schema) == value
    assert type(example(schema)) is type(value)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        7,
        {"type": "animal"},
        {"type": "integer", "minimum": 2, "maximum": 1},
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**9},
        {"type": "object", "minProperties": 10**9},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "string", "pattern": "^(?=x)"},
        {"allOf": [{"type": "string"}, {"type": "null"}]},
        {"not": {}},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema"},
        {
            "$defs": {"a": {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/$defs/a"}}}},
            "$ref": "#/$defs/a",
        },
        {"anyOf": []},
        {"enum": []},
        {"const": [1], "maxItems": 0},
    ],
)
def test_what_cannot_be_made_is_refused(schema: Any) -> None:
    with pytest.raises(Unmakeable):
        example(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/0", "$defs": dict.fromkeys("0123456789", TANGLE)},
        {"anyOf": [{"required": ["z"], "properties": {**{f"p{i}": {} for i in range(1000)}, "z": False}}] * 1000},
        {"type": "string", "pattern": "(" * 50_000},
        {"type": "string", "pattern": "^(a+)+(b|c){1000}$"},
    ],
    ids=["tangle", "wide", "deep pattern", "long pattern"],
)  # fmt: skip
def test_hostile_schemas_end_soon(schema: Any) -> None:
    started = time.process_time()
    with suppress(Unmakeable):
        example(schema)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{3}-\d{4}$", r"^#[0-9a-fA-F]{6}$", r"^(foo|bar)+$", r"^[^\s@]+@[^\s@]+\.[a-z]{2,}$", "abc", "^a$|^b$",
        r"^[a-z][a-z0-9_-]*$", r"^\+?[1-9]\d{1,14}$", r"^\S+$", r"^(?:v\d+\.)?\d+\.\d+$", "^[\u4e00-\u9fa5]{2,4}$", "",
    ],
)  # fmt: skip
def test_texts_of_patterns(pattern: str) -> None:
    assert re.search(pattern, text_matching(pattern, 0, 100))


@given(st.from_regex(r"[\^$]?([a-z0-9()\[\]{}|*+?.\\,-]|\\d|[a-z]\+|\[a-f\]){0,8}\$?", fullmatch=True), st.integers(0, 6))
def test_a_text_matches_whatever_the_pattern(pattern: str, least: int) -> None:
    try:
        text = text_matching(pattern, least, 50)
    except Unmakeable:
        return
    assert least <= len(text) <= 50
    assert re.search(pattern, text)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    return st.builds(
        lambda named, closed, required: {
            "type": "object",
            "properties": named,
            "required": [name for name in named if name in required],
            **({"additionalProperties": False} if closed else {}),
        },
        properties,
        st.booleans(),
        st.sets(st.sampled_from("abcd")),
    )


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda items, first, least, more: {
            "type": "array",
            "items": items,
            "prefixItems": first,
            "minItems": least,
            "maxItems": least + more,
        },
        inner,
        st.lists(inner, min_size=1, max_size=2),
        st.integers(0, 2),
        st.integers(0, 2),
    )


def numbers(kind: str) -> st.SearchStrategy[Any]:
    bound = st.integers(-50, 50) | (st.floats(-50, 50) if kind == "number" else st.integers(-(10**20), 10**20))
    step = st.sampled_from([1, 3, 7] + ([0.5, 0.01] if kind == "number" else []))
    optional = {"minimum": bound, "exclusiveMinimum": bound, "maximum": bound, "exclusiveMaximum": bound, "multipleOf": step}
    return st.fixed_dictionaries({"type": st.just(kind)}, optional=optional)


STRINGS = st.builds(
    lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
    st.integers(0, 30),
    st.integers(0, 30),
)
FORMATS = ("date", "date-time", "email", "uri", "uuid", "time", "ipv4", "ipv6", "hostname", "duration", "unheard-of")
LEAVES = st.one_of(
    st.sampled_from([True, {}, {"type": "boolean"}, {"type": "null"}, {"type": ["null", "string"]}]),
    st.sampled_from(FORMATS).map(lambda name: {"type": "string", "format": name}),
    st.sampled_from([r"^\d{2,}$", "^x[a-c]+$"]).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from([{"$ref": "#/$defs/leaf"}, {"$ref": "#/$defs/tree"}, {"enum": [None, 1, 2.5]}, {"const": [1]}]),
    STRINGS,
    numbers("integer"),
    numbers("number"),
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        objects(inner),
        arrays(inner),
        st.lists(inner, min_size=1, max_size=3).map(lambda ways: {"anyOf": ways}),
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"allOf": parts}),
        st.tuples(objects(inner), objects(inner)).map(lambda pair: {**pair[0], "anyOf": [pair[1], {"maxProperties": 9}]}),
    ),
    max_leaves=8,
)
DEFINITIONS = {
    "leaf": {"type": "integer", "minimum": 2},
    "tree": {
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/tree"}, "size": {"$ref": "#/$defs/leaf"}},
        "required": ["size"],
    },
}


@given(SCHEMAS)
def test_what_is_made_is_valid(schema: Any) -> None:
    document = {"$defs": DEFINITIONS, "allOf": [schema]}
    try:
        value = example(document)
    except Unmakeable:
        return
    formats = None if "pattern" in json.dumps(schema) else Draft202012Validator.FORMAT_CHECKER
    Draft202012Validator(document, format_checker=formats).validate(json.loads(json.dumps(value)))


@given(
    st.recursive(
        st.sampled_from([{"type": "string"}, {"type": "integer", "minimum": 4}, {"enum": ["x"]}]), objects, max_leaves=9
    )
)
def test_plain_schemas_can_always_be_made(schema: Any) -> None:
    Draft202012Validator(schema).validate(example(schema))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "#", "object", "array", "^a", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "prefixItems", "enum", "const", "anyOf", "allOf", "oneOf", "$ref",
                 "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern", "format", "minItems", "maxItems",
                 "uniqueItems", "additionalProperties", "minProperties", "maxProperties", "$defs"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(JUNK)
def test_junk_is_refused_or_answered_but_never_crashes(schema: Any) -> None:
    with suppress(Unmakeable):
        json.dumps(example(schema))
