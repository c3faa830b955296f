"""The JSON Schema of gateway.yaml, for editors: keys, descriptions and choices, those of plugins and adapters included.

It is kinder than configfile.py: what only a comparison of two places can tell is left to `paifang check`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from proxy.catalogue import catalogue
from proxy.config import (
    ACCESS_KEYS,
    BUILT_IN_PLUGINS,
    Config,
    ModelConfig,
    PluginLoadError,
    ProviderConfig,
    RouteConfig,
    Sections,
)
from proxy.credentials import VOLCENGINE
from proxy.secret import Secret

_MODE: JsonSchemaMode = "validation"
_ENVIRONMENT = {"$ref": "#/$defs/Environment"}
_REFERENCE = {
    "description": "A value out of the environment: ${NAME} or ${NAME:-default}.",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}",
    "type": "string",
}
_FILE_PATTERN = r"^\.{0,2}/.+\.py$"
_SECRET_DEFAULT = str(Secret(""))
_ANY_OPTIONS = {"type": ["object", "null"]}


def json_schema(sections: Sections) -> dict[str, Any]:
    """The schema (draft 2020-12) of a gateway.yaml that has these plugins and adapters to choose from."""
    adapters = {name: adapter.options for name in sections.adapter_names() if (adapter := sections.adapter(name))}
    plugins = {name: _model_of(sections, name) for name in sections.plugin_names()}
    models: list[type[BaseModel]] = [Config, *adapters.values(), *(model for model in plugins.values() if model)]
    refs, generated = models_json_schema([(model, _MODE) for model in dict.fromkeys(models)])
    defs: dict[str, Any] = generated["$defs"]
    own = {model: defs[ref["$ref"].rpartition("/")[2]] for (model, _), ref in refs.items()}
    provider = next(schema for name, schema in defs.items() if name == ProviderConfig.__name__)
    signed = {name for name in adapters if (adapter := sections.adapter(name)) and adapter.signer == VOLCENGINE}
    _fill_provider(provider, {name: own[options] for name, options in adapters.items()}, signed)
    _fill_model(defs[ModelConfig.__name__], defs[RouteConfig.__name__])
    config = own[Config]
    config["properties"]["plugins"] = _plugins(
        config["properties"]["plugins"],
        {name: None if model is None else refs[(model, _MODE)] for name, model in plugins.items()},
    )
    whole = {**config, "$defs": defs, "$schema": "https://json-schema.org/draft/2020-12/schema"}
    reached = _reached(whole, defs)
    whole["$defs"] = {name: schema for name, schema in defs.items() if name in reached}
    opened = _open_to_environment(whole)
    opened["$defs"]["Environment"] = _REFERENCE
    opened["title"] = "gateway.yaml"
    return dict(opened)


def schema_text(sections: Sections) -> str:
    """The schema as gateway.schema.json has it."""
    return json.dumps(json_schema(sections), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _model_of(sections: Sections, name: str) -> type[BaseModel] | None:
    try:
        return sections.plugin_model(name)
    except PluginLoadError:
        return None


def _fill_provider(provider: dict[str, Any], options: Mapping[str, Mapping[str, Any]], signed: Collection[str]) -> None:
    """Let `adapter` say which other keys the section may have. signed: the adapters that take an AK/SK."""
    common = {key: schema for key, schema in provider["properties"].items() if key != "options"}
    common["adapter"] = {**common["adapter"], "enum": sorted(options)}
    del provider["additionalProperties"]
    provider["properties"] = common
    provider["allOf"] = [
        {
            "if": {"properties": {"adapter": {"const": name}}, "required": ["adapter"]},
            "then": {
                "additionalProperties": False,
                "properties": {**_common_keys(common, name in signed), **schema.get("properties", {})},
                "required": schema.get("required", []),
            },
        }
        for name, schema in sorted(options.items())
    ]


def _fill_model(model: dict[str, Any], route: dict[str, Any]) -> None:
    """Let a preset say what is required otherwise."""
    preset = {"description": model["properties"]["preset"]["description"], "enum": list(catalogue().models)}
    model["properties"] = {**model["properties"], "preset": preset}
    model["required"] = [name for name in model["required"] if name != "family"]
    model["anyOf"] = [{"required": ["family"]}, {"required": ["preset"]}]
    route["required"] = [name for name in route["required"] if name != "model"]


def _common_keys(common: Mapping[str, Any], signed: bool) -> dict[str, bool]:
    """The keys that every provider may have; those of an AK/SK where the adapter takes one."""
    return dict.fromkeys((key for key in common if signed or key not in ACCESS_KEYS), True)


def _plugins(schema: Mapping[str, Any], models: Mapping[str, Mapping[str, Any] | None]) -> dict[str, Any]:
    """A list of names, of files, or of one of them with its options."""
    named = {}
    for name, ref in models.items():
        without_model = {"type": "null"} if name in BUILT_IN_PLUGINS else _ANY_OPTIONS
        named[name] = without_model if ref is None else {"anyOf": [ref, {"type": "null"}]}
    entry = {
        "anyOf": [
            {"enum": sorted(models)},
            {"pattern": _FILE_PATTERN, "type": "string"},
            {
                "additionalProperties": False,
                "maxProperties": 1,
                "minProperties": 1,
                "patternProperties": {_FILE_PATTERN: _ANY_OPTIONS},
                "properties": named,
                "type": "object",
            },
        ]
    }
    return {"description": schema["description"], "items": entry, "type": "array", "uniqueItems": True}


def _reached(schema: Any, defs: Mapping[str, Any]) -> set[str]:
    """Names of the definitions that the schema refers to, through others, too."""
    found: set[str] = set()
    waiting = [{key: value for key, value in schema.items() if key != "$defs"}]
    while waiting:
        for name in _refs(waiting.pop()) - found:
            found.add(name)
            waiting.append(defs[name])
    return found


def _refs(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"].rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(_refs(value) for value in node.values()))
    return set().union(*(_refs(value) for value in node)) if isinstance(node, list) else set()


def _open_to_environment(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, with a reference allowed for every value that is not any text already, less titles and empty defaults."""
    opened: dict[str, Any] = {}
    for key, value in schema.items():
        if key in {"properties", "patternProperties", "$defs"}:
            opened[key] = {name: _opened(inner) for name, inner in value.items()}
        elif key in {"items", "additionalProperties", "propertyNames", "then"}:
            opened[key] = _opened(value) if key != "propertyNames" else value
        elif key in {"allOf", "prefixItems"}:
            opened[key] = [_opened(inner) for inner in value]
        elif key != "title" and not (key == "default" and _says_nothing(value)):
            opened[key] = value
    if "anyOf" in opened and any(_is_closed_scalar(choice) for choice in opened["anyOf"]):
        opened["anyOf"] = [*opened["anyOf"], _ENVIRONMENT]
    elif "anyOf" in opened:
        opened["anyOf"] = [_opened(choice) for choice in opened["anyOf"]]
    if not _is_closed_scalar(opened):
        return opened
    told: dict[str, Any] = {key: opened.pop(key) for key in ("description", "default") if key in opened}
    return {**told, "anyOf": [opened, _ENVIRONMENT]}


def _opened(schema: Any) -> Any:
    return _open_to_environment(schema) if isinstance(schema, dict) else schema


def _says_nothing(default: Any) -> bool:
    return default is None or isinstance(default, dict | list) or default == _SECRET_DEFAULT


def _is_closed_scalar(schema: Mapping[str, Any]) -> bool:
    """Whether `${NAME}` would be refused although a scalar is expected."""
    kinds: str | Sequence[str] = schema.get("type", [])
    if {"enum", "const"} & schema.keys() or kinds in ("integer", "number", "boolean"):
        return True
    return kinds == "string" and bool({"pattern", "format", "minLength", "maxLength"} & schema.keys())
