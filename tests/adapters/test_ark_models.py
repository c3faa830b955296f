from __future__ import annotations

import pytest

from adapters.ark_models import ArkModel, ark_model

EP = "ep-20250101120000-ab1cd"
PENALTIES = {"frequency_penalty", "presence_penalty", "stop", "logprobs", "top_logprobs", "logit_bias"}


def of(name: str, *, endpoint_thinks: bool = True, smart_router: bool = False) -> ArkModel:
    return ark_model(name, endpoint_thinks=endpoint_thinks, smart_router=smart_router)


@pytest.mark.parametrize(
    ("name", "thinks", "has_efforts", "has_auto", "takes_reasoning"),
    [
        ("doubao-seed-evolving", True, True, False, True),
        ("doubao-seed-2-1-turbo-260628", True, True, False, True),
        ("doubao-seed-2-0-pro-260215", True, True, False, True),
        ("doubao-seed-2-0-lite-260215", True, True, False, True),
        ("doubao-seed-2-0-mini-260215", True, True, False, True),
        ("doubao-seed-2-0-code-preview-260215", True, True, False, True),
        ("doubao-seed-1-8-251228", True, True, False, True),
        ("dola-seed-2.0-code", True, True, False, True),
        ("seed-1-8-251228", True, True, False, True),
        ("doubao-seed-2.0-lite", True, True, False, True),
        ("doubao-seed-character-260628", True, True, False, True),
        ("doubao-seed-code-preview-251028", True, False, False, False),
        ("doubao-seed-1-6-251015", True, True, False, False),
        ("doubao-seed-1-6-250615", True, False, True, False),
        ("doubao-seed-1-6-flash-250828", True, False, False, False),
        ("doubao-seed-character-251128", False, False, False, False),
        ("doubao-1-5-pro-32k-250115", False, False, False, False),
        ("doubao-1-5-thinking-pro-m-250428", True, False, True, False),
        ("deepseek-v4-pro-ga-260813", True, True, False, True),
        ("deepseek-v3-2-251201", True, True, False, True),
        ("deepseek-r1-250528", True, True, False, False),
        ("glm-5-2-260617", True, True, False, True),
        ("kimi-k3", True, True, False, True),
        (EP, True, True, True, True),
        ("a-name-of-tomorrow", True, True, True, True),
    ],
)
def test_generations(name: str, thinks: bool, has_efforts: bool, has_auto: bool, takes_reasoning: bool) -> None:
    model = of(name)
    assert (model.thinks, model.has_efforts, model.has_auto) == (thinks, has_efforts, has_auto)
    assert model.takes_reasoning == takes_reasoning


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("doubao-seed-2-0-lite-260215", PENALTIES),
        ("glm-5-2-260617", PENALTIES),
        ("kimi-k3", PENALTIES),
        ("ark-code-latest", PENALTIES),
        ("deepseek-v4-pro-ga-260813", PENALTIES - {"stop"}),
        ("doubao-seed-character-251128", set()),
        ("doubao-1-5-pro-32k-250115", {"tool_choice", "parallel_tool_calls"}),
        (EP, PENALTIES),
        ("a-name-of-tomorrow", set()),
    ],
)
def test_fields_that_are_not_taken(name: str, lacks: set[str]) -> None:
    assert of(name).lacks == lacks


def test_what_the_operator_says_of_an_endpoint() -> None:
    assert of(EP, endpoint_thinks=False) == ArkModel(thinks=False, has_auto=True, takes_reasoning=False)
    router = of(EP, endpoint_thinks=False, smart_router=True)
    assert router.text_only
    assert router.lacks == {"top_logprobs", "logit_bias", "stop", "tool_choice", "parallel_tool_calls", "logprobs"}
    assert of("doubao-seed-2-0-lite-260215", endpoint_thinks=False, smart_router=True).thinks


def test_what_only_one_model_does() -> None:
    assert of("glm-5.3").thinks_always and not of("glm-5-2-260617").thinks_always
    assert of("deepseek-v4-1-flash-260910").marks_prefix and not of("deepseek-v4-pro-ga-260813").marks_prefix
