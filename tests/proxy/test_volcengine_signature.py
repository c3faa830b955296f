from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from volcenginesdkcore.signv4 import SignerV4  # type: ignore[import-untyped]

from proxy.secret import Secret
from proxy.volcengine_signature import signed_headers


def test_known_answer() -> None:
    headers = signed_headers(
        method="POST",
        host="maas-api.ml-platform-cn-beijing.volces.com",
        path="/api/v2/endpoint/ep-20240101000000-abcde/chat",
        query={},
        body=b'{"messages":[{"role":"user","content":"hi"}],"stream":true}',
        access_key=Secret("AKTEST"),
        secret_key=Secret("SKTEST"),
        region="cn-beijing",
        service="ml_maas",
        now=dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    )
    assert headers == {
        "content-type": "application/json",
        "x-content-sha256": "0df97ce458d538732cedbba79f8fbf0193034e6dff30fcb42a5051436f0085b1",
        "x-date": "20240102T030405Z",
        "authorization": "HMAC-SHA256 Credential=AKTEST/20240102/cn-beijing/ml_maas/request, "
        "SignedHeaders=content-type;host;x-content-sha256;x-date, "
        "Signature=71705a78255708db76d232a6ee26e6ebad1fd6711cb81dfd371349812bc1b1a5",
    }


WORDS = st.text(min_size=1, max_size=8)


@given(query=st.dictionaries(WORDS, WORDS, max_size=4), body=st.text(max_size=40), secret=st.text("aZ09+/=", min_size=1))
def test_the_vendors_sdk_signs_the_same(query: dict[str, str], body: str, secret: str) -> None:
    theirs: dict[str, Any] = {"Host": "ark.cn-beijing.volcengineapi.com:8443", "Content-Type": "application/json"}
    SignerV4.sign("/", "POST", theirs, body, None, query, "AK", secret, "cn-beijing", "ark")
    now = dt.datetime.strptime(theirs["X-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
    ours = signed_headers(
        method="POST",
        host=theirs["Host"],
        path="/",
        query=query,
        body=body.encode(),
        access_key=Secret("AK"),
        secret_key=Secret(secret),
        region="cn-beijing",
        service="ark",
        now=now,
    )
    assert ours["authorization"] == theirs["Authorization"]
