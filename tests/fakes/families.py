"""The habits of each family's vendor, as its papers have them; written without a look at the profiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fakes.family import KEY, FakeFamily, Habits
from tests.fakes.faults import Refusal

Body = dict[str, Any]
PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})


def thinking_type(body: Body, *, default: bool = True) -> bool:
    kind = body["thinking"].get("type") if isinstance(body.get("thinking"), dict) else None
    return default if kind is None else kind in ("enabled", "adaptive")


def by_type(default: bool = True) -> Callable[[Body], bool]:
    return lambda body: thinking_type(body, default=default)


def by_flag(name: str, *, default: bool = False) -> Callable[[Body], bool]:
    return lambda body: body.get(name, default) is True


def by_effort(body: Body) -> bool:
    return body.get("reasoning_effort") != "none"


def numbered(refusal: Refusal, request_id: str) -> Body:
    """GLM: a code of digits in a string, and the id beside the error."""
    return {"error": {"code": refusal.code, "message": refusal.message}, "request_id": request_id}


def dashscope(refusal: Refusal, request_id: str) -> Body:
    error = {"message": refusal.message, "type": refusal.code, "param": None, "code": refusal.code}
    return {"error": error, "request_id": request_id}


def typed(refusal: Refusal, request_id: str) -> Body:
    """Kimi: a type, and no code."""
    return {"error": {"type": refusal.code, "message": refusal.message}}


def flat(refusal: Refusal, request_id: str) -> Body:
    """ERNIE, older: under 200 as well."""
    return {"code": refusal.code, "msg": refusal.message}


def tokenhub(refusal: Refusal, request_id: str) -> Body:
    error = {"type": "error", "code": refusal.code, "message": refusal.message, "source": "gateway", "request_id": request_id}
    return {"error": error}


def base_resp(refusal: Refusal, request_id: str) -> Body:
    code = int(refusal.code) if refusal.code.isdecimal() else 2013
    return {"choices": None, "base_resp": {"status_code": code, "status_msg": refusal.message}}


def spark(refusal: Refusal, request_id: str) -> Body:
    if refusal.status != 200:
        return {"error": {"message": refusal.message, "type": "api_error", "param": None, "code": refusal.code}}
    return {"code": int(refusal.code), "message": refusal.message, "sid": request_id}


def modelarts(refusal: Refusal, request_id: str) -> Body:
    return {"error_code": refusal.code, "error_msg": refusal.message}


def longcat(refusal: Refusal, request_id: str) -> Body:
    error = {"code": refusal.code, "type": "rate_limit_error", "message": refusal.message, "retry_after": 60}
    return {"error": error}


def _qwen_thinks(body: Body) -> bool:
    return body.get("enable_thinking", False) is True


def _kimi_thinks(body: Body) -> bool:
    if "moonshot" in body["model"]:
        return False
    return "k2.6" not in body["model"] or thinking_type(body)


def _minimax_reasoning(body: Body) -> Any:
    return "reasoning_details" if body.get("reasoning_split") else "think"


FIXED = r"kimi-k(2\.|3)"

HABITS: dict[str, Habits] = {
    "deepseek": Habits(
        thinks=by_type(),
        replay="",
        texts_only="-pro",
        refused=(("", frozenset({"user", "enable_thinking"})),),
        user_pattern=r"[A-Za-z0-9_-]+",
        json_schema=False,
        comments=True,
        request_id_header="",
    ),
    "kimi": Habits(
        cap="max_completion_tokens",
        thinks=_kimi_thinks,
        replay="kimi-",
        empty_refused=True,
        refused=(
            (FIXED, PENALTIES | {"temperature", "top_p", "n"}),
            ("k3", frozenset({"thinking"})),
            ("", frozenset({"functions", "enable_thinking"})),
        ),
        ranges={"temperature": (0, 1)},
        tool_choices=((r"kimi-k2\.[67]", frozenset({"auto", "none", "function"})),),
        strict_by_default=True,
        usage_in_choice=True,
        error=typed,
        request_id_header="",
    ),
    "qwen": Habits(
        stream_only="^qwq|^qwen3-8b",
        thinks=_qwen_thinks,
        refused=(("", frozenset({"frequency_penalty", "thinking"})),),
        ranges={"temperature": (0, 1.999), "top_p": (1e-9, 1)},
        json_schema=False,
        error=dashscope,
        request_id_header="",
    ),
    "glm": Habits(
        thinks=by_type(),
        refused=(("", PENALTIES | {"n", "logprobs", "top_logprobs", "user", "enable_thinking"}),),
        ranges={"temperature": (1e-9, 0.999), "top_p": (1e-9, 0.999)},
        needs_sample_switch=True,
        stops=1,
        tool_choices=(("", frozenset({"auto"})),),
        calls_as="index -1",
        error=numbered,
        request_id_header="",
    ),
    "ernie": Habits(
        embeddings=True,
        alternating=True,
        empty_refused=True,
        thinks=by_flag("enable_thinking"),
        refused=(("", frozenset({"thinking"})),),
        ranges={"temperature": (1e-9, 1), "top_p": (1e-9, 1)},
        error=flat,
        request_id_header="X-Baidu-Request-Id",
    ),
    "hunyuan": Habits(
        thinks=by_type(default=False),
        refused=(("", frozenset({"enable_thinking"})),),
        error=tokenhub,
        request_id_header="",
    ),
    "minimax": Habits(
        cap="max_completion_tokens",
        thinks=by_type(),
        reasoning_as=_minimax_reasoning,
        texts_only="M2",
        refused=(("", PENALTIES | {"logit_bias", "n", "functions", "enable_thinking"}),),
        ranges={"temperature": (1e-9, 1), "top_p": (1e-9, 1)},
        calls_as="no index",
        repeats_message=True,
        envelope={"base_resp": {"status_code": 0, "status_msg": "success"}},
        error=base_resp,
        request_id_header="",
    ),
    "stepfun": Habits(
        thinks=by_effort,
        reasoning_as=lambda body: "reasoning_content" if body.get("reasoning_format") == "deepseek-style" else "reasoning",
        refused=(("", frozenset({"thinking", "enable_thinking"})),),
        user_pattern=r".{1,32}",
        request_id_header="",
    ),
    "baichuan": Habits(
        refused=(("", frozenset({"stream_options", "enable_thinking"})),),
        ranges={"temperature": (0, 1), "top_p": (0, 0.999)},
        request_id_header="",
    ),
    "spark": Habits(
        paths=(("^x1", "/v2/chat/completions"), ("^spark-x", "/x2/chat/completions"), ("", "/v1/chat/completions")),
        thinks=lambda body: body["model"] == "spark-x" and thinking_type(body),
        refused=(("", frozenset({"stream_options", "user", "enable_thinking"})),),
        ranges={"temperature": (1e-9, 1), "top_k": (1, 6)},
        caps=(("4.0Ultra", 8192),),
        calls_as="object",
        usage_on_last_content=True,
        envelope={"code": 0, "message": "Success", "sid": "cha-1"},
        error=spark,
        request_id_header="",
    ),
    "sensenova": Habits(
        thinks=lambda body: thinking_type(body) if "deepseek" in body["model"] else by_effort(body),
        reasoning_as=lambda body: "reasoning_content" if "deepseek" in body["model"] else "reasoning",
        replay="deepseek",
        refused=(("", frozenset({"enable_thinking"})),),
        error=dashscope,
        request_id_header="",
    ),
    "sensenova_compat": Habits(
        cap="max_new_tokens",
        flat_images=True,
        thinks=lambda body: bool(body.get("thinking", {}).get("enabled")),
        refused=(("", frozenset({"max_tokens", "max_completion_tokens", "enable_thinking"})),),
        ranges={"temperature": (1e-9, 2), "top_p": (1e-9, 0.999), "frequency_penalty": (1e-9, 2)},
    ),
    "pangu": Habits(
        thinks=lambda body: (
            body.get("chat_template_kwargs", {}).get("enable_thinking", True)
            if "qwen3" in body["model"]
            else thinking_type(body)
        ),
        replay="deepseek",
        refused=(("", frozenset({"enable_thinking"})), ("qwen3", frozenset({"thinking"}))),
        error=modelarts,
    ),
    "zhinao": Habits(
        embeddings=True,
        tools_lost_in_streams=True,
        ranges={"temperature": (0, 1), "top_p": (0, 1)},
        refused=(("", frozenset({"enable_thinking"})),),
        request_id_header="",
    ),
    "yi": Habits(refused=(("", frozenset({"enable_thinking"})),), request_id_header=""),
    "internlm": Habits(
        tools_lost_in_streams=True,
        thinks=by_flag("thinking_mode"),
        refused=(("", frozenset({"enable_thinking", "thinking"})),),
        request_id_header="",
    ),
    "longcat": Habits(
        texts_only="",
        thinks=by_type(),
        ranges={"temperature": (0, 1), "top_p": (0, 1)},
        refused=(("", frozenset({"enable_thinking"})),),
        error=longcat,
        request_id_header="",
    ),
}

MODELS: dict[str, str] = {
    "deepseek": "deepseek-flash",
    "kimi": "kimi-k2.6",
    "qwen": "qwen3.5-plus",
    "glm": "glm-4.6",
    "ernie": "ernie-4.5-turbo-vl-32k",
    "hunyuan": "hy3",
    "minimax": "MiniMax-M3",
    "stepfun": "step-3.7-flash",
    "baichuan": "Baichuan4-Turbo",
    "spark": "spark-x",
    "sensenova": "sensenova-6.8-flash-lite",
    "sensenova_compat": "SenseNova-V6-5-Pro",
    "pangu": "openpangu-2.0-pro",
    "zhinao": "360gpt2-pro",
    "yi": "yi-lightning",
    "internlm": "intern-latest",
    "longcat": "LongCat-2.0",
}
"""{family: a model of it to ask}."""


def fake(name: str, *, key: str = KEY) -> FakeFamily:
    """A vendor of this family."""
    return FakeFamily(HABITS[name], key=key)
