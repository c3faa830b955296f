"""The scalars of gateway.yaml: exact types, that read text only where it came out of the environment.

`port: true`, `port: "8080"` and `name: 123` are mistakes; `port: ${PORT}` is not. Problems are raised as
PydanticCustomError whose text is the whole message; it never repeats a value that may be secret.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

from proxy.environment import FromEnvironment
from proxy.money import MAX_BUDGET_USD
from proxy.secret import Secret

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}(?:\.[0-9]{1,18})?")


def wrong(message: str) -> PydanticCustomError:
    """A problem in our own words. The text is an argument, because pydantic fills in what stands in braces."""
    return PydanticCustomError("config", "{message}", {"message": message})


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, if one is near."""
    names = list(known)
    longer = [other for other in names if len(name) > 2 and other.startswith(name)]
    nearest = difflib.get_close_matches(name, names, n=1) or longer
    return f': did you mean "{nearest[0]}"?' if nearest else ""


def meant(message: str) -> str | None:
    """The name that `did_you_mean` gave a message, for programs that offer it."""
    found = re.search(r': did you mean "(.+)"\?', message)
    return found and found[1]


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, FromEnvironment) and _INTEGER.fullmatch(value) else value


def _decimal(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    return Decimal(value) if isinstance(value, FromEnvironment) and _NUMBER.fullmatch(value) else value


def _float(value: Any) -> Any:
    number = _decimal(value)
    return float(number) if isinstance(number, Decimal) else number


def _boolean(value: Any) -> Any:
    return value == "true" if isinstance(value, FromEnvironment) and value in {"true", "false"} else value


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, FromEnvironment) and not value else value


def _name(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise wrong("found spaces around the name, or characters that can't be seen: remove them")
    return value


def _header_name(value: str) -> str:
    if not value.isascii() or " " in value:
        raise wrong(f'found "{value}", expected letters, digits and signs of ASCII: it is sent in a response header')
    return value


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise wrong(f'found "{value}", expected a currency\'s three capital letters, such as USD or CNY')
    return value


def _date(value: Any) -> Any:
    """Dates are text in yamltext's data, so that this room decides where they stand for one."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            raise wrong(f"found {value}, which no calendar has: expected a date such as 2026-11-20") from None
    return value


def _base_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, None
    if parts is None or parts.scheme not in {"http", "https"} or not host or not re.fullmatch(r"[!-~]+", value):
        raise wrong("found no address of that kind, expected one such as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise wrong("found a user or password in the address: remove them, credentials have keys of their own")
    if "?" in value or "#" in value:
        raise wrong("found a query or fragment in the address: remove everything from the ? or # on")
    return value.rstrip("/")


def _region(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", value):
        raise wrong(f'found "{value}", expected a region such as cn-beijing')
    return value


def _proxy_url(value: Secret) -> Secret:
    try:
        parts = urlsplit(value.reveal())
        known = parts.scheme == "http" and parts.hostname and parts.port and re.fullmatch("[!-~]+", value.reveal())
    except ValueError:
        known = False
    if not known or parts.path.strip("/") or parts.query or parts.fragment:
        raise wrong("found no address of that kind, expected one such as http://proxy.example:3128")
    return value


def _credential(value: Secret) -> Secret:
    if value and not re.fullmatch("[!-~](?:[ -~]*[!-~])?", value.reveal()):
        where = f" in {' and '.join(value.variables)}" if value.variables else ""
        expected = "printable ASCII without spaces or line breaks around it"
        raise wrong(f"found a credential{where} that can't be sent, expected {expected}: copy the whole of it anew")
    return value


def _listen(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise wrong(f'found "{value}", expected "host:port" such as 127.0.0.1:9090')
    return value


def _weight(value: Any) -> Any:
    if value == 0 and not isinstance(value, bool):
        raise wrong('found 0, expected at least 1: write "enabled: false" to switch a route off')
    return value


def whole(least: int, most: int) -> tuple[Any, ...]:
    """Annotations of an int within bounds."""
    return (Strict(), Field(ge=least, le=most), BeforeValidator(_integer))


def _exact(most: int, decimals: int, above_zero: bool = False) -> tuple[Any, ...]:
    """Annotations of a Decimal that money is counted with: bounded, with no more decimals than are counted."""
    schema = {"type": "number", "exclusiveMinimum" if above_zero else "minimum": 0}
    gt, ge = (0, None) if above_zero else (None, 0)
    bounds = Field(gt=gt, ge=ge, le=most, decimal_places=decimals)
    return (Strict(), bounds, BeforeValidator(_decimal), WithJsonSchema(schema))


Text = Annotated[str, Strict(), AfterValidator(str)]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=200), AfterValidator(str), AfterValidator(_name)]
HeaderName = Annotated[Name, AfterValidator(_header_name)]
"""A name that is sent in response headers."""
Currency = Annotated[Text, AfterValidator(_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})]
Flag = Annotated[bool, Strict(), BeforeValidator(_boolean)]
Count = Annotated[int, *whole(1, 10**12)]
Weight = Annotated[int, *whole(1, 10**6), BeforeValidator(_weight)]
Seconds = Annotated[float, Strict(), Field(gt=0, le=86_400), BeforeValidator(_float)]
Pause = Annotated[float, Strict(), Field(ge=0, le=86_400), BeforeValidator(_float)]
Date = Annotated[dt.date, Strict(), BeforeValidator(_date)]
BaseUrl = Annotated[Text, AfterValidator(_base_url)]
Region = Annotated[Text, AfterValidator(_region)]
ProxyUrl = Annotated[Secret, AfterValidator(_proxy_url)]
"""Secret, as it may hold a password."""
Credential = Annotated[Secret, AfterValidator(_credential)]
"""Secret that is sent in a header."""
Listen = Annotated[Text, AfterValidator(_listen)]

Amount = Annotated[Decimal, *_exact(10**9, 9)]
"""Money; a nano is the smallest that is counted."""
Budget = Annotated[Decimal, *_exact(MAX_BUDGET_USD, 9)]
"""USD that may be spent."""
Rate = Annotated[Decimal, *_exact(10**6, 6)]
"""A price per 1M tokens; a millionth of the unit is the smallest that is counted."""
Factor = Annotated[Decimal, *_exact(1000, 6)]
ExchangeRate = Annotated[Decimal, *_exact(10**6, 12, above_zero=True)]

EmptyIsNone = BeforeValidator(_empty_is_none)
"""For optional scalars: `${NAME:-}` that came out empty is as if the key were left out."""
