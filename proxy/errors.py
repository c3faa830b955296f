"""Every way a request can fail, and the one body a client sees.

GatewayError              status · type · code · public message · headers · detail (for logs only)
├─ RequestError           the caller can mend it
│  ├─ BadRequest 400 · Unauthenticated 401 · WalletEmpty 402 · Forbidden 403 · ModelNotFound 404
│  ├─ NotFound 404 · RequestTimeout 408 · PayloadTooLarge 413 · UnsupportedMediaType 415 · HeadersTooLarge 431
│  └─ BudgetExhausted 429 · RateLimited 429 (retry_after_s)
├─ UpstreamError          the provider's side; says how far the attempt got and what routing may do about it
│  ├─ UpstreamRefused (their 4xx) · UpstreamBusy 429 (retry_after_s) · UpstreamFailed 502 (their 5xx)
│  ├─ UpstreamUnreachable 502 (ClientCertificateRefused) · UpstreamTimeout 504
│  └─ UpstreamProtocolError 502 · StreamTruncated (an event in the stream)
└─ GatewayFault 500       ours: PluginFault · LedgerUnavailable 503 · Draining 503 · Overloaded 503 · NoRoute 503
ConfigError               boot and reload only: every Problem of the file at once

Only `message` reaches a client. `detail` goes to the log, redacted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar


class Remedy(StrEnum):
    """What may help after a provider's failure, in the words of routing."""

    RETRY = "retry"
    """The same route may answer a moment later."""
    NEXT_ROUTE = "next_route"
    """This route can't, another may."""
    COOL_DOWN = "cool_down"
    """This route is busy until `retry_after_s` has passed; another may answer now."""
    BAD_CREDENTIAL = "bad_credential"
    """The provider refuses our credential, or its account is empty: leave it alone until someone mends it."""
    NEVER = "never"
    """The request itself is at fault; no route will take it."""


class Progress(StrEnum):
    """How far an attempt got: decides whether another may follow, and what is owed."""

    NEVER_SENT = "never_sent"
    """Nothing reached the provider: nothing is owed, another may follow."""
    REFUSED = "refused"
    """The provider said no: nothing is owed, another may follow."""
    AMBIGUOUS = "ambiguous"
    """Sent, and no answer was seen: it may have been served, so only a route with `retry_ambiguous` lets another follow."""
    HEADERS_ONLY = "headers_only"
    """The answer began, and broke before the client had a piece of it: another may follow."""


class GatewayError(Exception):
    """Any failure of a request, with the answer its client gets."""

    status: int = 500
    type: ClassVar[str] = "server_error"
    code: str = "internal_error"
    retriable: bool = True
    """False adds `x-should-retry: false`: trying again can't help."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.detail = detail
        if code is not None:
            self.code = code

    def body(self) -> dict[str, Any]:
        """The OpenAI error object: {"error": {"message", "type", "param", "code"}}."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Response headers this error asks for."""
        headers = {}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, -int(-self.retry_after_s // 1)))
        if not self.retriable:
            headers["x-should-retry"] = "false"
        return headers


class RequestError(GatewayError):
    """The caller can mend it."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"
    retriable = False


class BadRequest(RequestError):
    """Malformed JSON, or a field that is wrong or that this door can't do."""


class Unauthenticated(RequestError):
    """No key, or one that is unknown, revoked or expired."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class WalletEmpty(RequestError):
    """The wallet can't cover the most that this request may cost."""

    status = 402
    type = "insufficient_quota"
    code = "insufficient_balance"


class Forbidden(RequestError):
    """The key may not do this."""

    status = 403
    type = "permission_error"
    code = "model_not_allowed"


class ModelNotFound(RequestError):
    """No such model in gateway.yaml."""

    status = 404
    code = "model_not_found"


class NotFound(RequestError):
    """No such path or thing."""

    status = 404
    code = "not_found"


class MethodNotAllowed(RequestError):
    """The path exists, the method doesn't."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(RequestError):
    """The request's body came too slowly."""

    status = 408
    code = "request_timeout"


class PayloadTooLarge(RequestError):
    """The body is over server.max_body_bytes."""

    status = 413
    code = "request_too_large"


class HeadersTooLarge(RequestError):
    """A header, or the first line of a request, is over 8 KiB, or all of them are over 64 KiB, or over 128."""

    status = 431
    code = "headers_too_large"


class UnsupportedMediaType(RequestError):
    """Not JSON, or encoded."""

    status = 415
    code = "unsupported_media_type"


class BudgetExhausted(RequestError):
    """A budget's window can't cover the most that this request may cost; `param` names the window."""

    status = 429
    type = "insufficient_quota"
    code = "budget_exceeded"


class RateLimited(RequestError):
    """A rate limit of the key; a later try may pass."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    retriable = True


class UpstreamError(GatewayError):
    """A provider's failure.

    remedy: what routing may do. progress: how far the attempt got.
    upstream: {"status": int, "code": str, "request_id": str}, as far as known; shown to the client as `error.upstream`.
    detail: the provider's own words, for the log only.
    """

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    remedy: Remedy = Remedy.NEXT_ROUTE
    progress: Progress = Progress.REFUSED

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
        remedy: Remedy | None = None,
        progress: Progress | None = None,
        upstream: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param, retry_after_s=retry_after_s, detail=detail)
        self.upstream = dict(upstream or {})
        if remedy is not None:
            self.remedy = remedy
        if progress is not None:
            self.progress = progress

    def body(self) -> dict[str, Any]:
        body = super().body()
        if self.upstream:
            body["error"]["upstream"] = self.upstream
        return body


class UpstreamRefused(UpstreamError):
    """The provider refuses the request as such (400, 422): no other route will take it."""

    status = 400
    type = "invalid_request_error"
    code = "upstream_invalid_request"
    remedy = Remedy.NEVER
    retriable = False


class UpstreamRejectedUs(UpstreamError):
    """The provider refuses the operator's account: credential, balance, or a model that isn't opened there."""

    code = "upstream_auth_failed"
    remedy = Remedy.BAD_CREDENTIAL
    retriable = False


class UpstreamBusy(UpstreamError):
    """The provider limits our rate (429) or is overloaded."""

    status = 429
    type = "rate_limit_error"
    code = "upstream_rate_limited"
    remedy = Remedy.COOL_DOWN


class UpstreamFailed(UpstreamError):
    """The provider's 5xx."""

    remedy = Remedy.RETRY


class UpstreamUnreachable(UpstreamError):
    """No connection to the provider, or it was lost."""

    code = "upstream_unreachable"
    progress = Progress.NEVER_SENT


class ClientCertificateRefused(UpstreamUnreachable):
    """The provider wants a client certificate, and ours is missing or not to its liking."""


class UpstreamTimeout(UpstreamError):
    """The provider was too slow."""

    status = 504
    code = "upstream_timeout"
    progress = Progress.AMBIGUOUS


class UpstreamProtocolError(UpstreamError):
    """The provider's answer is not what its protocol allows: a redirect, HTML, bad JSON, a broken stream."""

    progress = Progress.HEADERS_ONLY


class StreamTruncated(UpstreamProtocolError):
    """The provider's stream ended in the middle."""


class GatewayFault(GatewayError):
    """Our own fault; the message says nothing of the inside."""


class PluginFault(GatewayFault):
    """A plugin raised what it may not, hung, or answered junk; `param` is its name."""

    code = "plugin_error"


class LedgerUnavailable(GatewayFault):
    """The ledger can't write, so nothing new may be spent."""

    status = 503
    code = "ledger_unavailable"


class Draining(GatewayFault):
    """Shutting down: running answers finish, new ones go elsewhere."""

    status = 503
    code = "draining"


class Overloaded(GatewayFault):
    """Too much at once."""

    status = 503
    code = "overloaded"


class NoRoute(GatewayFault):
    """No route of the pool is enabled, has credentials and is healthy."""

    status = 503
    code = "no_route_available"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in gateway.yaml. line and column count from 1; 0 = not tied to a place in the file."""

    path: str
    message: str
    line: int = 0
    column: int = 0
    file: str = ""
    """Where it is in another file than the configuration's."""

    def render(self, file: str) -> str:
        """`gateway.yaml:LINE:COL: path: message`, as compilers write it."""
        return f"{self.place(file)}: {self.message}"

    def place(self, file: str) -> str:
        """`gateway.yaml:LINE:COL: path`."""
        place = ":".join([self.file or file, *(str(number) for number in (self.line, self.column) if number)])
        return f"{place}: {self.path}" if self.path else place


class ConfigError(Exception):
    """Everything wrong with a configuration, at once."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render(file) for problem in self.problems))
