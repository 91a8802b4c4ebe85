"""Clients that keep a server busy: each sends a picture, waits for the response, and sends the next.

In: a port, pictures, an API key, a number of clients, seconds. Out: how many answers were right, how many were refused
because the server was busy (503), how many were anything else, and how long they took. Debian's `wrk` is used where it
is installed; otherwise clients in Python, which take more of the machine for themselves: a server looks slower.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60
"""How long a client waits for an answer."""

_PATH = "/v1/recognize"

_SCRIPT = """\
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  right, refused, wrong, turn, sent = 0, 0, 0, 0, {}
  local head = {["Content-Type"] = "image/jpeg", ["X-API-Key"] = os.getenv("KEY")}
  for _, path in ipairs(arguments) do
    local file = assert(io.open(path, "rb"))
    table.insert(sent, wrk.format("POST", nil, head, file:read("*a")))
    file:close()
  end
end

function request()
  turn = turn % #sent + 1
  return sent[turn]
end

function response(status, headers, body)
  if status == 200 and body:find('"person_id":"', 1, true) then
    right = right + 1
  elseif status == 503 then
    refused = refused + 1
  else
    wrong = wrong + 1
    if wrong <= 3 then io.stderr:write(status, " ", body:sub(1, 200), "\\n") end
  end
end

function done(summary, latency, requests)
  local right, refused, wrong = 0, 0, summary.errors.connect + summary.errors.read + summary.errors.write
  wrong = wrong + summary.errors.timeout
  for _, thread in ipairs(threads) do
    right, refused, wrong = right + thread:get("right"), refused + thread:get("refused"), wrong + thread:get("wrong")
  end
  print(string.format('\\n{"right": %d, "refused": %d, "wrong": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}',
    right, refused, wrong, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""


@dataclass(frozen=True)
class Load:
    """What the clients measured.

    Attributes
    ----------
    right, refused, wrong : int
        Answers with a recognised person; answers 503; other answers, and connections that broke or waited too long.
    seconds : float
    p50_ms, p99_ms : float
        Time from sending a picture to the end of its answer.
    """

    right: int
    refused: int
    wrong: int
    seconds: float
    p50_ms: float
    p99_ms: float


def by() -> str:
    """Name what the clients are."""
    return "python" if shutil.which("wrk") is None else "wrk"


def send(port: int, pictures: Sequence[Path], *, key: str, clients: int, seconds: int) -> Load:
    """Keep a server on this machine busy; every answer is read."""
    if by() == "python":
        return asyncio.run(_send([_request(picture.read_bytes(), key) for picture in pictures], port, clients, seconds))
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT)
        script.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", f"{PATIENCE_S}s", "-s", script.name]
        command += [f"http://127.0.0.1:{port}{_PATH}", "--", *map(str, pictures)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "KEY": key})
    if done.returncode != 0 or not done.stdout.strip():
        raise SystemExit(f"wrk failed: {done.stderr or done.stdout}")
    if done.stderr:
        print(done.stderr.strip())
    return Load(**json.loads(done.stdout.splitlines()[-1]))


async def _send(requests: Sequence[bytes], port: int, clients: int, seconds: float) -> Load:
    counts = {"right": 0, "refused": 0, "wrong": 0}
    times: list[float] = []
    started = time.perf_counter()

    async def one(turn: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while True:
                began = time.perf_counter()
                writer.write(requests[turn % len(requests)])
                status, body = await asyncio.wait_for(_answer(reader), PATIENCE_S)
                times.append(time.perf_counter() - began)
                right = status == 200 and b'"person_id":"' in body
                counts["right" if right else "refused" if status == 503 else "wrong"] += 1
                turn += 1
        finally:
            writer.close()

    tasks = [asyncio.create_task(one(number)) for number in range(clients)]
    ended, _ = await asyncio.wait(tasks, timeout=seconds)
    counts["wrong"] += len(ended)  # a client ends early only when its connection breaks
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
    times.sort()
    p50, p99 = (1e3 * times[int(len(times) * share)] if times else 0.0 for share in (0.5, 0.99))
    return Load(**counts, seconds=time.perf_counter() - started, p50_ms=p50, p99_ms=p99)


def _request(body: bytes, key: str) -> bytes:
    head = {"Host": "127.0.0.1", "X-API-Key": key, "Content-Type": "image/jpeg", "Content-Length": len(body)}
    lines = [f"POST {_PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return "\r\n".join(lines).encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(length.split(b":")[1]))
