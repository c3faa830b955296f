"""The least that a proxy on aiohttp can do: forward a request, headers and body, and relay what comes back.

It is the yardstick of `make bench`: same libraries and sockets as the gateway, and nothing in between.

Run: python benchmarks/bare_proxy.py PORT UPSTREAM_URL
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping

from aiohttp import ClientSession, TCPConnector, web

UPSTREAM_URL = web.AppKey("upstream_url", str)
SESSION = web.AppKey("session", ClientSession)
HOP_BY_HOP = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)


async def open_session(app: web.Application) -> AsyncIterator[None]:
    """Keep one pool of upstream connections for as long as the proxy runs."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        app[SESSION] = session
        yield


def end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are not for one connection alone (RFC 9110, 7.6.1)."""
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


async def relay(request: web.Request) -> web.StreamResponse:
    """Answer with the upstream's status, headers and bytes, as they come."""
    url = request.app[UPSTREAM_URL] + request.path
    body = await request.read()
    async with request.app[SESSION].post(url, data=body, headers=end_to_end(request.headers)) as upstream:
        response = web.StreamResponse(status=upstream.status, headers=end_to_end(upstream.headers))
        await response.prepare(request)
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


def main() -> None:
    """Serve on the port that the command line names."""
    # asyncio reads into a fresh 256 KiB buffer each time. glibc maps and unmaps pages for each, at half the speed,
    # until a block this large has been freed once; under load that happens sooner or later, here at once.
    bytes(2**20)
    app = web.Application(client_max_size=20 * 2**20)
    app[UPSTREAM_URL] = sys.argv[2]
    app.cleanup_ctx.append(open_session)
    app.router.add_post("/{path:.*}", relay)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
