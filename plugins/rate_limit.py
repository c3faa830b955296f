"""Rate limits of keys: requests and tokens in a minute, and requests at once; a request gets all three or none.

A minute is any sixty seconds, not one by the clock, so a border between minutes admits nothing twice. Tokens count when a
request is admitted: the prompt by its bytes, and the output cap that the client asked for or else a usual answer; what the
provider reports corrects it at the end. One request never counts for more than the whole limit before it is answered, so
none is refused for ever. A request that fails gives its tokens back but stays counted as a request. Counts live in this
process and begin anew with it.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from proxy import App, Charge, ChatRequest, RateLimit, RateLimited, RequestContext, hookimpl

SECOND_NS = 10**9
WINDOW_NS = 60 * SECOND_NS
GRAIN_NS = WINDOW_NS // 600
"""What comes within a tenth of a second is kept as one, as of its last moment: a window has some 600 entries at most."""
BYTES_PER_TOKEN = 4
USUAL_ANSWER_TOKENS = 1024
"""Counted for an answer whose client set no cap: models' own caps are many times what answers come to."""
SLOT_WAIT_S = 1.0
"""When to try again where too many run at once: nobody knows when one of them ends."""


class Entry:
    """What was counted at about one moment."""

    __slots__ = ("amount", "at_ns", "since_ns")

    def __init__(self, now_ns: int) -> None:
        self.since_ns = self.at_ns = now_ns
        self.amount = 0


class Window:
    """An amount over the last sixty seconds."""

    __slots__ = ("_entries", "total")

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.total = 0

    def __bool__(self) -> bool:
        return bool(self._entries)

    def expire(self, now_ns: int) -> None:
        """Forget what is sixty seconds old. Comes before every other question."""
        while self._entries and self._entries[0].at_ns + WINDOW_NS <= now_ns:
            gone = self._entries.popleft()
            self.total -= gone.amount
            gone.amount = 0

    def add(self, amount: int, now_ns: int) -> Entry:
        """Returns the entry that it is part of."""
        if not self._entries or self._entries[-1].since_ns + GRAIN_NS <= now_ns:
            self._entries.append(Entry(now_ns))
        entry = self._entries[-1]
        entry.at_ns = now_ns
        entry.amount += amount
        self.total += amount
        return entry

    def take_back(self, amount: int, entry: Entry) -> None:
        """What has expired stays expired."""
        amount = min(amount, entry.amount)
        entry.amount -= amount
        self.total -= amount

    def wait_ns(self, excess: int, now_ns: int) -> int:
        """How long until so much of it has expired; 0 for none."""
        for entry in self._entries:
            if excess <= 0:
                break
            excess -= entry.amount
            if excess <= 0:
                return entry.at_ns + WINDOW_NS - now_ns
        return 0

    def reset_ns(self, now_ns: int) -> int:
        """How long until all of it has expired."""
        return self._entries[-1].at_ns + WINDOW_NS - now_ns if self._entries else 0


class Account:
    """What one key is doing."""

    __slots__ = ("requests", "running", "tokens")

    def __init__(self) -> None:
        self.requests = Window()
        self.tokens = Window()
        self.running = 0

    def idle(self, now_ns: int) -> bool:
        """Whether there is nothing to remember."""
        self.requests.expire(now_ns)
        self.tokens.expire(now_ns)
        return not (self.running or self.requests or self.tokens)


class Admitted:
    """A request that runs: one of those at once, with the tokens that it is counted for."""

    __slots__ = ("_account", "_entry", "_limits", "_tokens")

    def __init__(self, limits: RateLimits, account: Account, tokens: int, entry: Entry) -> None:
        self._limits = limits
        self._account = account
        self._tokens = tokens
        self._entry = entry

    def settle(self, charge: Charge) -> None:
        usage = charge.usage
        self._end(max(0, usage.input_tokens) + max(0, usage.output_tokens))

    def void(self) -> None:
        self._end(0)

    def _end(self, used_tokens: int) -> None:
        account, now_ns = self._account, self._limits.now_ns()
        account.running -= 1
        account.tokens.expire(now_ns)
        if used_tokens <= self._tokens:
            account.tokens.take_back(self._tokens - used_tokens, self._entry)
        else:
            account.tokens.add(used_tokens - self._tokens, now_ns)


class RateLimits:
    """Holds each key to its `rate_limit`, as it stands when a request is admitted."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    @hookimpl
    def startup(self, app: App) -> None:
        self.now_ns = app.clock.monotonic_ns

    @hookimpl
    def reserve(self, ctx: RequestContext) -> Admitted | None:
        """Raises: RateLimited; `param` is the limit that takes longest to give way."""
        principal, chat = ctx.principal, ctx.chat
        if principal is None or chat is None or principal.rate_limit == RateLimit():
            return None
        limit, now_ns = principal.rate_limit, self.now_ns()
        self._forget_idle(now_ns)
        account = self._accounts.get(principal.id)
        if account is None:
            account = self._accounts[principal.id] = Account()
        account.requests.expire(now_ns)
        account.tokens.expire(now_ns)
        tokens = _tokens(ctx, chat)
        if limit.tokens_per_minute is not None:
            tokens = min(tokens, limit.tokens_per_minute)
        # A request that grows on its way is reserved for twice; it is one request all the same.
        requests = 0 if "rate_limit" in ctx.state else 1
        try:
            _refuse_what_does_not_fit(account, limit, requests, tokens, now_ns)
            account.running += 1
            if requests:
                account.requests.add(requests, now_ns)
            ctx.state["rate_limit"] = "counted"
            return Admitted(self, account, tokens, account.tokens.add(tokens, now_ns))
        finally:
            _tell(ctx, account, limit, now_ns)

    def _forget_idle(self, now_ns: int) -> None:
        """Look at the two keys that were not looked at for longest: more than come, so that all idle ones go."""
        for name in [name for name, _ in zip(self._accounts, range(2), strict=False)]:
            if self._accounts[name].idle(now_ns):
                del self._accounts[name]
            else:
                self._accounts.move_to_end(name)


def _tokens(ctx: RequestContext, chat: ChatRequest) -> int:
    """About how many tokens the request will come to."""
    cap = max((target.output_cap for target in ctx.candidates), default=0)
    answer = cap if chat.max_output_tokens is not None else min(cap, USUAL_ANSWER_TOKENS)
    return -(-chat.body_bytes // BYTES_PER_TOKEN) + chat.n * answer


def _refuse_what_does_not_fit(account: Account, limit: RateLimit, requests: int, tokens: int, now_ns: int) -> None:
    waits: list[tuple[float, str, str]] = []
    for param, window, asked, most in (
        ("requests_per_minute", account.requests, requests, limit.requests_per_minute),
        ("tokens_per_minute", account.tokens, tokens, limit.tokens_per_minute),
    ):
        if most is not None and asked and window.total + asked > most:
            what = param.partition("_")[0]
            wait_s = window.wait_ns(window.total + asked - most, now_ns) / SECOND_NS
            told = f"{most} {what} in a minute; {window.total} of them are taken, and this request needs {asked}"
            waits.append((wait_s, param, told))
    if limit.concurrent is not None and account.running >= limit.concurrent:
        waits.append((SLOT_WAIT_S, "concurrent", f"{limit.concurrent} requests at once; {account.running} are running"))
    if waits:
        wait_s, param, told = max(waits, key=lambda wait: wait[0])
        raise RateLimited(
            f"This key's rate limit is {told}. Try again in {_duration(round(wait_s * SECOND_NS))}.",
            param=param,
            retry_after_s=wait_s,
        )


def _tell(ctx: RequestContext, account: Account, limit: RateLimit, now_ns: int) -> None:
    """OpenAI's headers, for the limits that the key has."""
    for what, window, most in (
        ("requests", account.requests, limit.requests_per_minute),
        ("tokens", account.tokens, limit.tokens_per_minute),
    ):
        if most is not None:
            ctx.reply_headers[f"x-ratelimit-limit-{what}"] = str(most)
            ctx.reply_headers[f"x-ratelimit-remaining-{what}"] = str(max(0, most - window.total))
            ctx.reply_headers[f"x-ratelimit-reset-{what}"] = _duration(window.reset_ns(now_ns))


def _duration(ns: int) -> str:
    """As OpenAI writes one, rounded up to milliseconds: "120ms", "1s", "59.94s", "1m0s"."""
    whole_ms = -(-ns // 10**6)
    if whole_ms < 1000:
        return f"{whole_ms}ms" if whole_ms else "0s"
    minutes, rest_ms = divmod(whole_ms, 60_000)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"
