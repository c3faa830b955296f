"""What the families' error codes mean, a table each: data for profiles.py, read by profile_errors.py.

Codes that a vendor writes as OpenAI does, or whose status says it all, are in none.
"""

from __future__ import annotations

from adapters.profile_errors import rules

KIMI = rules(
    quota="exceeded_current_quota_error",
    busy="rate_limit_reached_error|engine_overloaded_error",
    credential="invalid_authentication_error|incorrect_api_key_error|permission_denied_error",
    model="resource_not_found_error",
    filtered="content_filter",
)

QWEN = rules(
    quota=r"Arrearage|insufficient_quota",
    busy=r"Throttling(\..*)?",
    model=r"AccessDenied\.Unpurchased|Model\.NotExist|model_not_found",
    credential=r"InvalidApiKey|invalid_api_key|AccessDenied",
    filtered="DataInspectionFailed|data_inspection_failed",
    failed=r"InternalError(\..*)?|ServiceUnavailable|GatewayTimeout",
)

GLM = rules(
    quota="1113|1309",
    resting="1304|1308|1310",
    busy="1302|1303|1305|1312|1313",
    credential="100[0-5]|111[0-2]|1121|1220",
    model="1211|1221|1222|1311",
    overlong="1261",
    filtered="130[01]",
    refused="121[02-5]|1231",
    failed="500|1120|123[045]",
)

ERNIE = rules(
    busy=r"\w+_rate_limit_exceeded",
    credential="no_parameter_permission|access_denied",
    model="invalid_model",
    overlong="characters_too_long|tokens_too_long",
    filtered="unsafe_request|image_url_unsafe",
    refused="malformed_json|invalid_messages|invalid_argument",
)

HUNYUAN = rules(
    model="401007|401008|403004",
    credential="401002|403001|403002|403005",
    busy="429001",
    filtered="451001",
    failed="502001",
    refused="40000[124]",
)

MINIMAX = rules(
    resting="2056",
    busy="1002|1039|1041|2045",
    failed="1000|1001|1013|1024|1033",
    credential="1004|2049",
    quota="1008",
    model="2061",
    filtered="102[67]",
    refused="1042|2013",
)

SPARK = rules(
    busy="1000[678]|10110|1120[23]",
    resting="11201",
    failed="1000[0129]|1001[012]|10222",
    credential="1001[56]|11200",
    filtered="1001[349]|10021",
    overlong="10907",
    refused="1000[345]|10163",
)

SENSENOVA = rules(model="HTTP 403")

PANGU = rules(
    busy=r"(ModelArts\.)?8110[13]|PANGU\.3267",
    credential=r"(ModelArts\.)?8100[23]|PANGU\.001[12]",
    model=r"(ModelArts\.)?8100[49]|PANGU\.3254",
    quota=r"(ModelArts\.)?8100[56]",
    filtered=r"(ModelArts\.)?81011",
    refused=r"(ModelArts\.)?81001|PANGU\.(0010|3278|3318|332[01])",
    failed=r"APIG\.0203|PANGU\.(0031|3342)",
)
