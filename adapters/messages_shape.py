"""What a door of Anthropic's shape has beyond Anthropic's first version of it, or lacks. A shape is a value.

Each field's default is what every such door is known to take, so a shape names what differs and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.profile import Thinking, Within


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesShape:
    """One vendor's door. Models are regular expressions, searched in the provider's own name for the model."""

    thinking: tuple[Thinking, ...] = (Thinking(style="type"),)
    """How thinking is switched; the first that fits the model."""
    budgets: bool = True
    """`thinking` of type enabled has budget_tokens."""
    effort: bool = False
    """`output_config.effort` is there, and thinking is enabled without a budget."""
    formats: bool = False
    """`output_format` is there."""
    strict_tools: bool = False
    system_turns: bool = False
    """A turn may be of role system; else what a system says later is said by the user."""
    stops: bool = True
    """False: stop_sequences are ignored without a word."""
    tiers: tuple[str, ...] = ()
    """Values of service_tier, beside those that leave the choice to the vendor."""
    text_only: str | None = None
    """Models that see no images."""
    within: tuple[Within, ...] = (Within(field="temperature", low=0, high=1), Within(field="top_p", low=0, high=1))


ANTHROPIC_SHAPE = MessagesShape()
