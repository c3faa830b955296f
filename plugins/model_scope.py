"""authorize: a key's families and models, byte for byte, for the model asked for and again for every route tried."""

from __future__ import annotations

from proxy import Forbidden, RequestContext, hookimpl


@hookimpl
def authorize(ctx: RequestContext) -> None:
    principal, model = ctx.principal, ctx.model
    if principal is None or model is None:
        return
    # A route carries the model and family it is configured under, whatever its provider calls it, so neither an alias nor
    # an endpoint id nor a fallback leads out of the scope.
    name, family = (model.name, model.family) if ctx.target is None else (ctx.target.model, ctx.target.family)
    if not principal.may_use(name, family):
        raise Forbidden(f"This key may not use the model {name!r}.", param="model")
