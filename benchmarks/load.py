"""The four ways the benchmark loads a server, each checked: an answer that is not right ends the run."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import time
from pathlib import Path

from servers import KEY, LOAD_CORE, BenchmarkError, pinned

CONNECTIONS = 64
STREAMS = 64
BURST_STREAMS = 32
EVENTS_PER_STREAM = 202
"""200 with text, the finish and [DONE], as upstream.c sends them."""
REQUESTS_PER_SECOND = 50
PATH = "/v1/chat/completions"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


def body(*, stream: bool) -> str:
    """A chat request of some 400 bytes."""
    text = "How many people walked through the arch today, and how many of them came back? " * 4
    return json.dumps({"model": "bench", "messages": [{"role": "user", "content": text}], "stream": stream})


def check(port: int) -> None:
    """Ask once for JSON and once for a stream; raises BenchmarkError where an answer is wrong."""
    for stream, sign, count in ((False, b'"finish_reason":"stop"', 1), (True, b"data:", EVENTS_PER_STREAM)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", PATH, body(stream=stream), HEADERS)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if response.status != 200 or answer.count(sign) != count:
            raise BenchmarkError(f"port {port} gave a wrong answer, {response.status}: {answer[-500:]!r}")


def requests_per_second(port: int, seconds: float, folder: Path, *, connections: int, stream: bool) -> float:
    """What wrk counts with so many connections, each asking again as soon as it is answered."""
    script = folder / f"stream_{stream}.lua"
    headers = "".join(f"wrk.headers['{name}'] = '{value}'\n" for name, value in HEADERS.items())
    script.write_text(f"wrk.method = 'POST'\nwrk.body = [[{body(stream=stream)}]]\n{headers}")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    said = subprocess.run(
        [*pinned(LOAD_CORE), *command, f"http://127.0.0.1:{port}{PATH}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wrong = re.search(r"Non-2xx.*|Socket errors.*", said)
    counted = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if wrong or not counted:
        raise BenchmarkError(f"wrk against port {port}: {wrong.group() if wrong else said}")
    return float(counted.group(1))


def latencies_ms(port: int, seconds: float) -> list[float]:
    """Time from when each request was due to the last byte of its answer, at REQUESTS_PER_SECOND.

    There is one connection. A late answer delays the requests after it, whose time counts from when they were
    due, so that waiting isn't left out.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    request = body(stream=False)
    times_ms = []
    start_s = time.perf_counter() + 0.1
    for number in range(round(seconds * REQUESTS_PER_SECOND)):
        due_s = start_s + number / REQUESTS_PER_SECOND
        time.sleep(max(0.0, due_s - time.perf_counter()))
        connection.request("POST", PATH, request, HEADERS)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise BenchmarkError(
                f"port {port} answered {response.status} at {REQUESTS_PER_SECOND} requests/s"
            )
        times_ms.append((time.perf_counter() - due_s) * 1000)
    connection.close()
    return times_ms


def events_one_by_one(stepper: Path, upstream_port: int, port: int, seconds: float) -> float:
    """Events relayed each second over STREAMS streams, an event leaving only when the one before has arrived.

    The stepper is the provider too, on `upstream_port`, which must be free.
    """
    command = [
        str(stepper),
        str(upstream_port),
        str(port),
        str(STREAMS),
        str(seconds),
        HEADERS["Authorization"],
    ]
    done = subprocess.run([*pinned(LOAD_CORE), *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"stepper against port {port}: {done.stderr or 'an event never arrived'}")
    return float(done.stdout)
