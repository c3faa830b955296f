"""The keys of a provider that is reached by a family's profile. What the vendor's papers leave open is a switch, off."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ProfileOptions(BaseModel):
    """Keys of a provider that is known by its profile; all may be left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(
        default=None, pattern=r"^/\S*$", description="Appended to base_url; left out: what the profile knows."
    )
    usage_in_stream: bool | None = Field(
        default=None,
        description="Whether usage in streams is asked for with stream_options; left out: what the profile knows.",
    )

    @property
    def place(self) -> str:
        """Which of the profile's addresses: cn or intl."""
        return "cn"

    @property
    def auth_way(self) -> str:
        """Which of the profile's signers."""
        return ""


class RegionalOptions(ProfileOptions):
    """Keys of a provider with a Chinese and an international platform, whose API keys differ."""

    region: Literal["cn", "intl"] = Field(
        default="cn", description="The platform that the API key is of; base_url goes before it."
    )

    @property
    def place(self) -> str:
        return self.region


class QwenOptions(RegionalOptions):
    """Keys of Alibaba Cloud Model Studio (DashScope)."""

    stream_only: bool = Field(
        default=False,
        description="Call every model as a stream, also where the client wants JSON; the models that are known to answer "
        "in streams alone are called so anyway.",
    )


class GlmOptions(RegionalOptions):
    """Keys of Zhipu's open platform (cn) and z.ai (intl)."""

    auth: Literal["bearer", "jwt"] = Field(
        default="bearer", description="bearer: the API key as it is; jwt: a token signed with it, good for some minutes."
    )
    bare_images: bool = Field(
        default=False, description="Send images without `data:…;base64,` before them, as older vision models want them."
    )

    @property
    def auth_way(self) -> str:
        return self.auth


class MiniMaxOptions(RegionalOptions):
    """Keys of MiniMax."""

    cumulative_text: bool = Field(
        default=False,
        description="The chunks of a stream repeat what was said before. Turn it on if texts come doubled.",
    )


class SparkOptions(ProfileOptions):
    """Keys of iFlytek Spark."""

    tool_calls_switch: bool = Field(
        default=False, description="Ask for tool_calls as a list, which not every model is known to grant."
    )


class SenseNovaOptions(ProfileOptions):
    """Keys of SenseNova."""

    auth: Literal["bearer", "jwt"] = Field(
        default="bearer", description="bearer: an API key; jwt: api_key is AK:SK, and signs a token good for half an hour."
    )

    @property
    def auth_way(self) -> str:
        return self.auth


class ZhinaoOptions(ProfileOptions):
    """Keys of 360 Zhinao."""

    auth: Literal["bearer", "raw"] = Field(
        default="bearer", description="raw: the API key stands in Authorization without the word Bearer."
    )

    @property
    def auth_way(self) -> str:
        return self.auth
