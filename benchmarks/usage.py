"""Reports over a full store while requests run: how long they take, and what admissions notice of them.

Run: python benchmarks/usage.py [--rows 1000000] [--seconds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import load
from servers import LOAD_CORE, BenchmarkError, Server, build, free_port, pinned, start_gateway

from proxy.clock import SystemClock
from proxy.storage.store import open_store

COMMANDS = (
    ("usage", "--by", "key,model"),
    ("usage", "--by", "day,route"),
    ("usage", "--each", "--limit", "50", "--key", "key-7"),
    ("ledger", "verify"),
)
KEYS, MODELS = 20, 5
DEBIT = 1000
SPAN_S = 28 * 86_400
BATCH = 50_000


def fill(file: Path, rows: int) -> None:
    """A store with so many requests of this month, each with its hold, its entry and its usage row."""

    async def make() -> None:
        await open_store(f"sqlite:///{file}", "process", SystemClock()).close()

    asyncio.run(make())
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start_s = int(first.timestamp())
    with sqlite3.connect(file) as db:
        db.executemany(
            "INSERT INTO subject VALUES (?, ?, '', ?, 'bench', 'upstream', 'upstream')",
            ((1 + key * MODELS + model, f"key-{key}", f"model-{model}") for key in range(KEYS) for model in range(MODELS)),
        )
        db.execute("INSERT INTO price VALUES (1, '{}')")
        db.executemany(
            "INSERT INTO spending VALUES (?, ?, 'monthly', ?, ?, 0, ?, 0, 0, 0)",
            (
                (1 + key, f"key:key-{key}", start_s, start_s + SPAN_S, DEBIT * len(range(key, rows, KEYS)))
                for key in range(KEYS)
            ),
        )
        for begin in range(0, rows, BATCH):
            numbers = range(begin, min(rows, begin + BATCH))
            for table, marks in (("hold", 12), ("hold_leg", 3), ("entry", 11), ("usage_row", 21)):
                values = ", ".join("?" * marks)
                db.executemany(f"INSERT INTO {table} VALUES ({values})", _rows(table, numbers, start_s, rows))
    db.close()


def _rows(table: str, numbers: range, start_s: int, rows: int) -> Iterator[tuple[object, ...]]:
    for number in numbers:
        request_id = f"req_{number:012x}"
        key = number % KEYS
        at_ns = (start_s * 10**9) + number * (SPAN_S * 10**9 // rows)
        subject_id = 1 + key * MODELS + number // KEYS % MODELS
        user = f"user-{number % 1000}"
        match table:
            case "hold":
                yield number + 1, request_id, subject_id, user, 2 * DEBIT, at_ns, "posted", 1, 0, 0, 0, DEBIT
            case "hold_leg":
                yield number + 1, 1 + key, None
            case "entry":
                paid = (f"key:key-{key}", "provider:upstream", DEBIT)
                yield number + 1, request_id, "charge", *paid, 1, "", "1,000 × $1.00/M", at_ns, 0
            case _:
                counts = (1, 1000, 200, 300, 100, 0, DEBIT, 800)
                timed = (1500, 200, 3, 200, "", "complete", 1, "")
                yield request_id, "", at_ns, subject_id, user, *counts, *timed


def paifang(folder: Path, command: tuple[str, ...]) -> float:
    """Run a command on the gateway's configuration; returns its seconds from start to end."""
    begun_s = time.perf_counter()
    arguments = [sys.executable, "-m", "proxy", *command, "-c", str(folder / "gateway.yaml")]
    done = subprocess.run([*pinned(LOAD_CORE), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"paifang {' '.join(command)}: {done.stderr or done.stdout[-500:]}")
    return time.perf_counter() - begun_s


def percentiles(times_ms: list[float]) -> str:
    cuts = statistics.quantiles(times_ms, n=100)
    return f"{cuts[49]:>9.2f}{cuts[98]:>9.2f}{max(times_ms):>9.2f}"


def measure(port: int, folder: Path, seconds: float) -> None:
    """Print a row a command: its time, and what requests took while it ran again and again."""
    load.latencies_ms(port, 1)
    print(f"{'while it runs':44}{'seconds':>9}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    print(f"{'nothing':44}{'':>9}{percentiles(load.latencies_ms(port, seconds))}")
    for command in COMMANDS:
        with ThreadPoolExecutor(1) as pool:
            loaded = pool.submit(load.latencies_ms, port, seconds)
            times_s = [paifang(folder, command)]
            while not loaded.done():
                times_s.append(paifang(folder, command))
            print(f"{' '.join(command):44}{statistics.median(times_s):>9.2f}{percentiles(loaded.result())}")


def main() -> int:
    """Fill a store, serve it, and ask it things."""
    parser = argparse.ArgumentParser(description="Measure reports over a full store.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5, help="of requests, per command")
    args = parser.parse_args()
    if not shutil.which("cc"):
        print("The benchmark needs cc (apt install gcc libc6-dev)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="paifang-bench-") as name:
        folder = Path(name)
        upstream_port = free_port()
        build("upstream", folder)
        servers: list[Server] = []
        try:
            print(f"writing {args.rows:,} rows", file=sys.stderr)
            fill(folder / "bench.db", args.rows)
            upstream = [str(folder / "upstream"), str(upstream_port)]
            servers.append(Server(upstream, upstream_port, LOAD_CORE, folder / "upstream.log"))
            servers.append(start_gateway(upstream_port, folder, ledger=True))
            measure(servers[-1].port, folder, args.seconds)
        except BenchmarkError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            for server in reversed(servers):
                server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
