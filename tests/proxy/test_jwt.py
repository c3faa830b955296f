from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from proxy.credentials import sign, span_of
from proxy.errors import UpstreamRejectedUs
from proxy.secret import Secret

NOW_S = 1_700_000_000


def opened(headers: dict[str, str], secret: str) -> tuple[Any, Any]:
    """Header and claims of a bearer token whose signature this secret made."""
    scheme, token = headers["authorization"].split(" ")
    signed, _, signature = token.rpartition(".")
    made = hmac.digest(secret.encode(), signed.encode(), hashlib.sha256)
    assert (scheme, signature) == ("Bearer", base64.urlsafe_b64encode(made).rstrip(b"=").decode())
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in signed.split("."))
    return head, claims


def test_zhipus_token() -> None:
    head, claims = opened(sign("zhipu_jwt", Secret("idexample.secretexample"), NOW_S), "secretexample")
    assert head == {"alg": "HS256", "sign_type": "SIGN"}
    begun_ms = 1_699_999_920_000
    assert claims == {"api_key": "idexample", "exp": begun_ms + 210_000, "timestamp": begun_ms}


def test_sensenovas_token() -> None:
    head, claims = opened(sign("sensenova_jwt", Secret("AKEXAMPLE:SKEXAMPLE"), NOW_S), "SKEXAMPLE")
    assert head == {"alg": "HS256", "typ": "JWT"}
    assert claims == {"iss": "AKEXAMPLE", "exp": 1_700_001_000, "nbf": 1_699_999_195}


@pytest.mark.parametrize(("signer", "key", "span_s"), [("zhipu_jwt", "a.b", 180), ("sensenova_jwt", "a:b", 900)])
def test_a_token_lasts_for_a_span(signer: str, key: str, span_s: int) -> None:
    begun_s = NOW_S - NOW_S % span_s
    first, last, next_one = begun_s, begun_s + span_s - 1, begun_s + span_s
    assert sign(signer, Secret(key), first) == sign(signer, Secret(key), last) != sign(signer, Secret(key), next_one)
    assert span_of(signer, first) == span_of(signer, last) == span_of(signer, next_one) - 1


@pytest.mark.parametrize("key", ["no-pair", ".secret", "id."])
def test_a_key_that_is_no_pair_is_the_operators_to_mend(key: str) -> None:
    with pytest.raises(UpstreamRejectedUs, match="no pair") as caught:
        sign("zhipu_jwt", Secret(key), NOW_S)
    assert key not in caught.value.message


def test_other_signers_take_no_notice_of_the_time() -> None:
    assert sign("bearer", Secret("k"), NOW_S) == {"authorization": "Bearer k"}
    assert sign("raw", Secret("k"), NOW_S) == {"authorization": "k"}
    assert sign("zhipu_jwt", Secret(""), NOW_S) == {}
    assert span_of("bearer", NOW_S) == span_of("bearer", 0)
