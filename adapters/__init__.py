"""The built-in adapters, one per dialect, and one per family that speaks OpenAI's in its own way."""

from collections.abc import Callable

from adapters.anthropic_messages import AnthropicMessages
from adapters.ark import Ark
from adapters.ark_bots import ArkBots
from adapters.ark_messages import ArkMessages
from adapters.ark_responses import ArkResponses
from adapters.coze import Coze
from adapters.dashscope import DashScope
from adapters.minimax_messages import MiniMaxMessages
from adapters.openai_chat import OpenAIChat
from adapters.profiled_chat import adapter_of
from adapters.profiles import PROFILES
from adapters.simulator import Simulator
from proxy import Adapter, hookimpl


@hookimpl
def register_adapters(register: Callable[[Adapter], None]) -> None:
    """Register every built-in adapter."""
    built_in: tuple[Adapter, ...] = (
        OpenAIChat(),
        Ark(),
        ArkBots(),
        ArkMessages(),
        ArkResponses(),
        Coze(),
        DashScope(),
        MiniMaxMessages(),
        AnthropicMessages(),
        Simulator(),
    )
    for adapter in built_in:
        register(adapter)
    for profile in PROFILES:
        register(adapter_of(profile))
