"""Measures the gateway against a bare aiohttp proxy and the upstream itself; README.md says how to read it.

Run: python benchmarks/run.py [--seconds 5] [--rounds 3] [--only json|latency|stream|burst|rss]
     [--set ledger-off]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import load
from servers import (
    LOAD_CORE,
    BenchmarkError,
    Server,
    build,
    free_port,
    pinned,
    start_bare_proxy,
    start_gateway,
)

WARM_UP_S = 1
BUSY_LOAD = 0.5
"""Load average before the run above which other work gets into the measure."""
KINDS = ("json", "latency", "stream", "burst", "rss")
ROWS = {
    "json": ("JSON requests/s, 64 connections", 0),
    "p50": ("latency p50 ms, 50 requests/s", 2),
    "p99": ("latency p99 ms, 50 requests/s", 2),
    "stream": ("SSE events/s, one by one, 64 streams", 0),
    "burst": ("SSE events/s, in bursts, 32 streams", 0),
    "rss": ("resident MB after the load", 1),
}
"""Measure to how the table names it, and its decimals."""


@dataclass(slots=True)
class Bench:
    """The servers of one run, and what was measured of them: measure → server's name → one value a round."""

    folder: Path
    seconds: float
    ledger: bool
    upstream_port: int = field(default_factory=free_port)
    servers: dict[str, Server] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def start(self) -> None:
        """Build and start everything, see that each server answers rightly, and warm it up."""
        for program in ("upstream", "stepper"):
            build(program, self.folder)
        self.start_upstream()
        self.servers["bare proxy"] = start_bare_proxy(self.upstream_port, self.folder)
        self.servers["gateway"] = start_gateway(self.upstream_port, self.folder, ledger=self.ledger)
        for server in self.servers.values():
            load.check(server.port)
            load.requests_per_second(
                server.port, WARM_UP_S, self.folder, connections=load.CONNECTIONS, stream=False
            )

    def start_upstream(self) -> None:
        command = [str(self.folder / "upstream"), str(self.upstream_port)]
        self.servers["upstream"] = Server(
            command, self.upstream_port, LOAD_CORE, self.folder / "upstream.log"
        )

    def stop(self) -> None:
        """End what was started, the upstream last."""
        for server in reversed(self.servers.values()):
            server.stop()

    def note(self, measure: str, name: str, value: float) -> None:
        self.values.setdefault(measure, {}).setdefault(name, []).append(value)

    def json(self) -> None:
        for name, server in self.servers.items():
            rate = load.requests_per_second(
                server.port, self.seconds, self.folder, connections=load.CONNECTIONS, stream=False
            )
            self.note("json", name, rate)

    def latency(self) -> None:
        for name, server in self.servers.items():
            percentiles = statistics.quantiles(load.latencies_ms(server.port, self.seconds), n=100)
            self.note("p50", name, percentiles[49])
            self.note("p99", name, percentiles[98])

    def stream(self) -> None:
        """The stepper is its own upstream, and the only one that can be measured without a proxy."""
        self.servers["upstream"].stop()
        for name, server in self.servers.items():
            rate = load.events_one_by_one(
                self.folder / "stepper", self.upstream_port, server.port, self.seconds
            )
            self.note("stream", name, rate)
        self.start_upstream()

    def burst(self) -> None:
        for name, server in self.servers.items():
            rate = load.requests_per_second(
                server.port, self.seconds, self.folder, connections=load.BURST_STREAMS, stream=True
            )
            self.note("burst", name, rate * load.EVENTS_PER_STREAM)

    def rss(self) -> None:
        for name, server in self.servers.items():
            self.note("rss", name, server.resident_bytes() / 2**20)

    def table(self) -> str:
        """The medians, the gateway's share of the bare proxy's, and how far its rounds lay apart."""
        names = ("upstream", "bare proxy", "gateway")
        lines = [
            f"{'median of the rounds':40}" + "".join(f"{name:>12}" for name in names) + "   gateway/bare"
        ]
        for measure, (title, decimals) in ROWS.items():
            if measure not in self.values:
                continue
            medians = [statistics.median(self.values[measure][name]) for name in names]
            pairs = zip(self.values[measure]["gateway"], self.values[measure]["bare proxy"], strict=True)
            ratios = sorted(gateway / bare for gateway, bare in pairs)
            cells = "".join(f"{median:>12,.{decimals}f}" for median in medians)
            ratio = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            lines.append(f"{title:40}{cells}   {ratio}")
        return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line, as this file's docstring shows it."""
    parser = argparse.ArgumentParser(description="Measure the gateway against a bare aiohttp proxy.")
    parser.add_argument("--seconds", type=float, default=5, help="of load per server, round and measure")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=KINDS, help="may be repeated; left out: all")
    parser.add_argument(
        "--set", choices=("default", "ledger-off"), default="default", help="configuration of the gateway"
    )
    return parser.parse_args()


def main() -> int:
    """Run the rounds, each measure going over all servers in turn, and print the table."""
    args = arguments()
    if missing := [
        f"{command} (apt install {package})"
        for command, package in (("wrk", "wrk"), ("cc", "gcc libc6-dev"), ("ps", "procps"))
        if not shutil.which(command)
    ]:
        print("The benchmark needs " + ", ".join(missing), file=sys.stderr)
        return 2
    if not pinned(LOAD_CORE):
        print("Under two cores, or no taskset: servers and load get in each other's way.", file=sys.stderr)
    if (busy := os.getloadavg()[0]) > BUSY_LOAD:
        print(f"This machine is busy, load {busy:.1f}: the numbers will waver.", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="paifang-bench-") as name:
        bench = Bench(Path(name), args.seconds, args.set != "ledger-off")
        measures: dict[str, Callable[[], None]] = {kind: getattr(bench, kind) for kind in KINDS}
        try:
            bench.start()
            for number in range(args.rounds):
                for kind in args.only or KINDS:
                    print(f"round {number + 1} of {args.rounds}: {kind}", file=sys.stderr)
                    measures[kind]()
        except (BenchmarkError, subprocess.CalledProcessError) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            bench.stop()
        print(bench.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
