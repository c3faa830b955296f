"""authenticate: static keys of gateway.yaml and keys of the store, known by their SHA-256 alone."""

from __future__ import annotations

from proxy import App, Principal, RequestContext, Unauthenticated, digest_of, hookimpl


class VirtualKeys:
    """Answers for every request that carries a key."""

    @hookimpl
    def startup(self, app: App) -> None:
        self._keys = app.keys
        self._clock = app.clock

    @hookimpl
    def authenticate(self, ctx: RequestContext) -> Principal | None:
        key = _presented(ctx)
        if key is None:
            return None
        digest = digest_of(key)
        static = ctx.snapshot.static_keys.get(digest)
        if static is not None:
            return static.admit(self._clock.now_ns())
        record = self._keys.find(digest)
        if record is None:
            raise Unauthenticated("This API key is not known here.")
        return record.admit(self._clock.now_ns(), stored=True)


def _presented(ctx: RequestContext) -> str | None:
    """The key of `Authorization: Bearer` or of `x-api-key`.

    Raises: Unauthenticated if there are two that differ, or a header that holds no key.
    """
    keys = {key for key in map(str.strip, ctx.headers.getall("x-api-key", ())) if key}
    for value in ctx.headers.getall("authorization", ()):
        scheme, _, token = value.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated("The Authorization header must be `Bearer` and a key.")
        keys.add(token.strip())
    if len(keys) > 1:
        raise Unauthenticated("The request holds different keys; send one.")
    return keys.pop() if keys else None
