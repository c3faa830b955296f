"""Sixteen families, a row each: what of OpenAI's dialect they do in their own way.

Source: the vendors' API references, SDKs and open gateways, read 2026-11-22; docs/providers.md says it in words.
"""

from __future__ import annotations

from adapters import profile_codes
from adapters.profile import LeftOut, Profile, Thinking, Within
from adapters.profile_options import (
    GlmOptions,
    MiniMaxOptions,
    QwenOptions,
    RegionalOptions,
    SenseNovaOptions,
    SparkOptions,
    ZhinaoOptions,
)

_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
_FUNCTIONS = frozenset({"functions", "function_call"})
_NEVER = Thinking(style="never")
_FIXED_SAMPLING = r"kimi-k(2\.[5-9]|[3-9])"

DEEPSEEK = Profile(
    name="deepseek",
    base_url="https://api.deepseek.com",
    system_role_only=True,
    text_only="-pro",
    replay_reasoning="",
    thinking=(Thinking(style="type", efforts=("minimal", "low", "medium", "high", "xhigh", "max")),),
    user_field="user_id",
    user_pattern=r"[A-Za-z0-9_-]{1,512}",
    no_json_schema="",
    finish_reasons={"insufficient_system_resource": "error"},
)

KIMI = Profile(
    name="kimi",
    base_url="https://api.moonshot.cn/v1",
    intl_url="https://api.moonshot.ai/v1",
    options=RegionalOptions,
    cap_field="max_completion_tokens",
    system_role_only=True,
    no_empty_content=True,
    replay_reasoning="kimi-",
    thinking=(
        Thinking(models="kimi-k3", style="effort", efforts=("low", "high", "max")),
        Thinking(models=r"kimi-k2\.7", style="always"),
        Thinking(models=r"kimi-k2\.", style="type"),
        _NEVER,
    ),
    within=(Within(field="temperature", low=0, high=1),),
    left_out=(
        LeftOut(fields=_PENALTIES | {"temperature", "top_p"}, models=_FIXED_SAMPLING),
        LeftOut(fields=_FUNCTIONS),
    ),
    one_choice=_FIXED_SAMPLING,
    tool_choices=((r"kimi-k2\.[67]", frozenset({"auto", "none", "function"})),),
    loose_tools=True,
    usage_in_choice=True,
    errors=profile_codes.KIMI,
)

QWEN = Profile(
    name="qwen",
    base_url="https://dashscope.aliyuncs.com/compatible-mode/v1",
    intl_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    options=QwenOptions,
    stream_only=r"^(qwq|qvq)|^qwen3-[0-9]|^qwen.*-thinking",
    system_role_only=True,
    thinking=(Thinking(style="flag"),),
    within=(Within(field="temperature", low=0, high=1.99), Within(field="top_p", low=0.01, high=1)),
    left_out=(LeftOut(fields=frozenset({"frequency_penalty"})),),
    no_json_schema=r"^(?!qwen3\.[78])",
    errors=profile_codes.QWEN,
    request_id_members=("request_id",),
)

GLM = Profile(
    name="glm",
    base_url="https://open.bigmodel.cn/api/paas/v4",
    intl_url="https://api.z.ai/api/paas/v4",
    signers={"jwt": "zhipu_jwt"},
    options=GlmOptions,
    system_role_only=True,
    thinking=(
        Thinking(models=r"glm-5\.3", style="effort", efforts=("low", "high", "max")),
        Thinking(models=r"glm-5\.2", style="type", efforts=("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        Thinking(models=r"glm-(4\.[5-9]|[5-9])", style="type"),
        _NEVER,
    ),
    within=(Within(field="temperature", low=0.01, high=0.99), Within(field="top_p", low=0.01, high=0.99)),
    left_out=(LeftOut(fields=_PENALTIES | {"logprobs", "top_logprobs"}),),
    user_field="user_id",
    one_choice="",
    one_stop=True,
    do_sample=True,
    tool_choices=(("", frozenset({"auto"})),),
    dropped_marks=((r"glm-[0-9.]+v", "<|begin_of_box|>"), (r"glm-[0-9.]+v", "<|end_of_box|>")),
    tool_index_fix=True,
    finish_reasons={"sensitive": "content_filter", "network_error": "error"},
    errors=profile_codes.GLM,
    request_id_members=("request_id",),
)

ERNIE = Profile(
    name="ernie",
    base_url="https://qianfan.baidubce.com/v2",
    embeddings=True,
    system_role_only=True,
    alternating_roles=True,
    no_empty_content=True,
    thinking=(Thinking(models=r"qwen3|ernie-4\.5-(turbo-)?vl", style="flag"), _NEVER),
    within=(Within(field="temperature", low=0.01, high=1), Within(field="top_p", low=0.01, high=1)),
    errors=profile_codes.ERNIE,
    error_members=("code",),
    request_id_headers=("x-baidu-request-id",),
)

HUNYUAN = Profile(
    name="hunyuan",
    base_url="https://tokenhub.tencentmaas.com/v1",
    intl_url="https://tokenhub-intl.tencentcloudmaas.com/v1",
    options=RegionalOptions,
    system_role_only=True,
    thinking=(
        Thinking(models="(?i)minimax", style="type", types=("adaptive",)),
        Thinking(style="type", types=("enabled", "disabled", "adaptive")),
    ),
    errors=profile_codes.HUNYUAN,
    request_id_members=("request_id",),
)

MINIMAX = Profile(
    name="minimax",
    base_url="https://api.minimaxi.com/v1",
    intl_url="https://api.minimax.io/v1",
    options=MiniMaxOptions,
    cap_field="max_completion_tokens",
    always_sent={"reasoning_split": True},
    system_role_only=True,
    text_only="(?i)minimax-m2",
    replay_as_details=True,
    thinking=(Thinking(models="(?i)minimax-m3", style="type", types=("adaptive", "disabled")), Thinking(style="always")),
    within=(Within(field="temperature", low=0.01, high=1), Within(field="top_p", low=0.01, high=1)),
    left_out=(LeftOut(fields=_PENALTIES | _FUNCTIONS | {"logit_bias"}),),
    one_choice="",
    reasoning_names=("reasoning_details",),
    think_tags=True,
    repeats_message=True,
    tool_index_fix=True,
    errors=profile_codes.MINIMAX,
    error_members=("base_resp",),
)

STEPFUN = Profile(
    name="stepfun",
    base_url="https://api.stepfun.com/v1",
    intl_url="https://api.stepfun.ai/v1",
    options=RegionalOptions,
    always_sent={"reasoning_format": "deepseek-style"},
    system_role_only=True,
    thinking=(
        Thinking(models="2603", style="effort", efforts=("low", "high")),
        Thinking(style="effort", efforts=("low", "medium", "high")),
    ),
    user_characters=32,
)

BAICHUAN = Profile(
    name="baichuan",
    base_url="https://api.baichuan-ai.com/v1",
    usage_in_stream=False,
    system_role_only=True,
    thinking=(_NEVER,),
    within=(Within(field="temperature", low=0, high=1), Within(field="top_p", low=0, high=0.99)),
)

SPARK = Profile(
    name="spark",
    base_url="https://spark-api-open.xf-yun.com",
    options=SparkOptions,
    paths=(("^x1", "/v2/chat/completions"), ("^spark-x", "/x2/chat/completions"), ("", "/v1/chat/completions")),
    most_output_tokens=((r"^(lite|generalv3|generalv3\.5|pro-128k|max-32k|4\.0Ultra)$", 8192),),
    usage_in_stream=False,
    system_role_only=True,
    thinking=(Thinking(models="^(x1-preview|spark-x)", style="type"), _NEVER),
    within=(Within(field="temperature", low=0.01, high=1), Within(field="top_k", low=1, high=6)),
    left_out=(LeftOut(fields=frozenset({"user"})),),
    tool_object_fix=True,
    usage_ends=True,
    errors=profile_codes.SPARK,
    error_members=("code",),
    request_id_members=("sid",),
)

SENSENOVA = Profile(
    name="sensenova",
    base_url="https://token.sensenova.cn/v1",
    signers={"jwt": "sensenova_jwt"},
    options=SenseNovaOptions,
    system_role_only=True,
    replay_reasoning="deepseek",
    thinking=(
        Thinking(models="deepseek|glm", style="type", efforts=("low", "medium", "high", "xhigh")),
        Thinking(style="effort", efforts=("none", "low", "medium", "high", "xhigh")),
    ),
    reasoning_names=("reasoning",),
    errors=profile_codes.SENSENOVA,
    request_id_members=("request_id",),
)

SENSENOVA_COMPAT = Profile(
    name="sensenova_compat",
    base_url="https://api.sensenova.cn/compatible-mode/v1",
    signers={"jwt": "sensenova_jwt"},
    options=SenseNovaOptions,
    cap_field="max_new_tokens",
    system_role_only=True,
    flat_images="V6|Vision",
    thinking=(Thinking(style="enabled"),),
    within=(
        Within(field="temperature", low=0.01, high=2),
        Within(field="top_p", low=0.01, high=0.99),
        Within(field="frequency_penalty", low=0.01, high=2, or_left_out=True),
    ),
)

PANGU = Profile(
    name="pangu",
    base_url="https://api.modelarts-maas.com/v2",
    intl_url="https://api-ap-southeast-1.modelarts-maas.com/v1",
    options=RegionalOptions,
    system_role_only=True,
    replay_reasoning="deepseek",
    thinking=(Thinking(models="qwen3", style="template"), Thinking(style="type")),
    errors=profile_codes.PANGU,
    error_members=("error_code",),
)

ZHINAO = Profile(
    name="zhinao",
    base_url="https://api.360.cn/v1",
    embeddings=True,
    signers={"raw": "raw"},
    options=ZhinaoOptions,
    tools_unstreamed=True,
    system_role_only=True,
    thinking=(_NEVER,),
    within=(Within(field="temperature", low=0, high=1),),
)

YI = Profile(
    name="yi",
    base_url="https://api.lingyiwanwu.com/v1",
    intl_url="https://api.01.ai/v1",
    options=RegionalOptions,
    system_role_only=True,
    thinking=(_NEVER,),
)

INTERNLM = Profile(
    name="internlm",
    base_url="https://chat.intern-ai.org.cn/api/v1",
    tools_unstreamed=True,
    system_role_only=True,
    thinking=(Thinking(style="mode"),),
)

LONGCAT = Profile(
    name="longcat",
    base_url="https://api.longcat.chat/openai/v1",
    system_role_only=True,
    text_only="",
    thinking=(Thinking(models="Flash", style="flag"), Thinking(style="type")),
    within=(Within(field="temperature", low=0, high=1),),
    retry_after_member="retry_after",
)

PROFILES = (
    DEEPSEEK,
    KIMI,
    QWEN,
    GLM,
    ERNIE,
    HUNYUAN,
    MINIMAX,
    STEPFUN,
    BAICHUAN,
    SPARK,
    SENSENOVA,
    SENSENOVA_COMPAT,
    PANGU,
    ZHINAO,
    YI,
    INTERNLM,
    LONGCAT,
)
