"""No secret leaves by the log, and libraries write into it as the gateway does."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from proxy.logs import Redaction, log_to
from proxy.secret import Secret

KEY = "0f3c9d1e-plain-looking-secret"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    log_to(stream, secrets=lambda: [Secret(KEY), Secret("short"), Secret("")])
    yield stream
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (f"the key {KEY} is wrong", "the key ***** is wrong"),
        ("key sk-pf-0123456789abcdef is unknown", "key ***** is unknown"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer *****"),
        ('{"x-api-key": "abcdef"}', '{"x-api-key": "*****"}'),
        ("postgresql://user:pass@host/db", "postgresql://user:*****@host/db"),
        ("a short word stays, and https://host/path too", "a short word stays, and https://host/path too"),
        ({"upstream": {"said": [KEY, 3]}}, {"upstream": {"said": ["*****", 3]}}),
    ],
)
def test_secrets_are_blotted_out(told: object, expected: object) -> None:
    redact = Redaction(lambda: [Secret(KEY), Secret("short"), Secret("")])
    assert redact(None, "info", {"detail": told}) == {"detail": expected}


def test_lines_are_json_and_tracebacks_are_clean(log: io.StringIO) -> None:
    try:
        raise ValueError(f"bad {KEY}")
    except ValueError:
        structlog.get_logger("paifang").exception("failed", upstream={"status": 401})
    line = json.loads(log.getvalue())
    assert (line["event"], line["level"], line["upstream"]) == ("failed", "error", {"status": 401})
    assert "ValueError: bad *****" in line["exception"]


def test_libraries_warn_in_the_same_shape(log: io.StringIO) -> None:
    logging.getLogger("asyncio").warning("slow callback with %s", KEY)
    logging.getLogger("asyncio").info("not worth a line")
    line = json.loads(log.getvalue())
    assert (line["event"], line["level"]) == ("slow callback with *****", "warning")
