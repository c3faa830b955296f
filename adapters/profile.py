"""What a family's version of OpenAI's dialect may differ in. A profile is a value: a row of profiles.py.

Each field's default is OpenAI's own behaviour, so a row names what differs and nothing else. Models are regular
expressions, searched in the provider's own name for the model; "" is every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from adapters.profile_errors import ErrorRule
from adapters.profile_options import ProfileOptions

EVERY_MODEL = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """A number is moved to the nearest one that the vendor takes."""

    field: str
    low: float
    high: float
    or_left_out: bool = False
    """Out of bounds, the field is left out instead, and named."""
    models: str = EVERY_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Fields that the vendor refuses or ignores; named in x-paifang-dropped."""

    fields: frozenset[str]
    models: str = EVERY_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """How thinking is switched.

    type      thinking: {"type": …}                      flag      enable_thinking: bool
    mode      thinking_mode: bool                        enabled   thinking: {"enabled": bool}
    template  chat_template_kwargs.enable_thinking       effort    reasoning_effort alone
    always    it thinks, whatever is asked               never     it has no switch, or does not think
    """

    style: Literal["type", "flag", "mode", "enabled", "template", "effort", "always", "never"]
    types: tuple[str, ...] = ("enabled", "disabled")
    """Of style `type`: what the type may be."""
    efforts: tuple[str, ...] = ()
    """Levels of reasoning_effort that are understood; another is moved to the nearest. None: the field is not known."""
    models: str = EVERY_MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One family."""

    name: str
    """What `adapter:` says."""
    base_url: str
    intl_url: str | None = None
    """Where keys of the international platform work."""
    signer: str = "bearer"
    signers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """{value of the option `auth`: signer}."""
    options: type[ProfileOptions] = ProfileOptions

    embeddings: bool = False
    """It has `/embeddings`, too, in OpenAI's dialect."""
    paths: tuple[tuple[str, str], ...] = ()
    """(models, path), the first that fits; without one, /chat/completions."""
    cap_field: str = "max_tokens"
    """Where the output cap is written when the client gives none, or always if it is no name of OpenAI's."""
    most_output_tokens: tuple[tuple[str, int], ...] = ()
    """(models, the highest cap that is taken), the first that fits."""
    usage_in_stream: bool = True
    """False: stream_options is refused; usage comes by itself."""
    always_sent: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Fields that every request carries."""
    stream_only: str | None = None
    """Models that answer in streams alone."""
    tools_unstreamed: bool = False
    """Tool calls come right in JSON answers alone: with tools, none is streamed."""

    system_role_only: bool = False
    """The role `developer` is unknown; it becomes `system`."""
    alternating_roles: bool = False
    """Neighbours of one role are refused; their texts become one message."""
    no_empty_content: bool = False
    """An empty content is refused; it becomes a space."""
    text_only: str | None = None
    """Models that take no images, or pretend to see them: images are refused, lists of texts become one text."""
    flat_images: str | None = None
    """Models whose parts have an image's address as a text, and its base64 as image_base64."""
    replay_reasoning: str | None = None
    """Models that want the reasoning of a turn with tools back; where the client dropped it, a space stands for it."""
    replay_as_details: bool = False
    """Reasoning is wanted back as reasoning_details."""
    thinking: tuple[Thinking, ...] = ()
    """The first that fits the model."""

    within: tuple[Within, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    user_field: str = "user"
    user_pattern: str = ""
    """What an end user's id must look like, else it is left out."""
    user_characters: int | None = None
    """Longest id of an end user; a longer one is cut."""
    one_choice: str | None = None
    """Models that refuse n; more than one is refused here, one is left out."""
    one_stop: bool = False
    """Of several stop sequences, the first is taken."""
    do_sample: bool = False
    """A temperature of 0 is said as do_sample: false."""
    no_json_schema: str | None = None
    """Models that know json_object alone."""
    tool_choices: tuple[tuple[str, frozenset[str]], ...] = ()
    """(models, values of tool_choice that are taken), the first that fits. `none` is said by leaving the tools out."""
    loose_tools: bool = False
    """Tools are strict unless they say otherwise; OpenAI's are not."""

    reasoning_names: tuple[str, ...] = ()
    """Other members in which reasoning comes: reasoning, reasoning_details."""
    think_tags: bool = False
    """Reasoning may come within the text, between <think> and </think>."""
    dropped_marks: tuple[tuple[str, str], ...] = ()
    """(models, a mark) that stands in texts by mistake."""
    repeats_message: bool = False
    """A stream's last chunk has the whole message once more."""
    tool_index_fix: bool = False
    """The index of tool calls in streams may be -1 or missing."""
    tool_object_fix: bool = False
    """`tool_calls` is an object, without an id."""
    usage_in_choice: bool = False
    """Usage is told within a choice, too."""
    usage_ends: bool = False
    """The chunk with usage is the last, and may lack a finish_reason."""
    finish_reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """{the vendor's: OpenAI's, or "error" where it stands for a failure}."""

    errors: tuple[ErrorRule, ...] = ()
    error_members: tuple[str, ...] = ()
    """Where an envelope tells of errors, also under 200: base_resp, code, error_code."""
    request_id_headers: tuple[str, ...] = ()
    request_id_members: tuple[str, ...] = ()
    """Members of an error's envelope, or of its error object."""
    retry_after_member: str = ""
    """The member of an error object that has the seconds to wait."""
