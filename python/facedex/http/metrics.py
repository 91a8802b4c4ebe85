"""What Prometheus reads: requests, their time, the queue, and how the galleries stand.

With several processes the package prometheus-client shares the numbers through the folder of
``PROMETHEUS_MULTIPROC_DIR``, which ``facedex serve`` sets. One process answers Prometheus for all, so each notes its
queue with every answer it gives, and one that was killed counts no more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.values import ValueClass

from ..records import Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The numbers of one application."""

    def __init__(self) -> None:
        self._lanes: Callable[[], dict[str, int]] = dict
        self._noted: dict[str, int] = {}
        registry = self._registry = CollectorRegistry()
        self._requests = Counter(
            "facedex_requests_total", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "facedex_request_seconds", "Time to answer.", ["method", "route"], buckets=_BUCKETS, registry=registry
        )
        self._inside = Gauge(
            "facedex_inside",
            "Requests being worked on or waiting.",
            ["lane"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._dropped = Counter(
            "facedex_connections_dropped_total",
            "Connections closed or refused because of what their client did.",
            ["reason"],
            registry=registry,
        )
        self._left = Counter(
            "facedex_clients_left_total", "Clients that left before their requests were answered.", registry=registry
        )
        self._stands = {
            name: Gauge(f"facedex_{name}", words, ["gallery"], registry=registry, multiprocess_mode="mostrecent")
            for name, words in (
                ("people", "People registered."),
                ("faces", "Faces stored."),
                ("index_position", "The last change that the index has applied."),
            )
        }

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is its template, never its path, which names people."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        self._look()

    def dropped(self, reason: str) -> None:
        """Count a connection that was closed or refused, see `facedex.http.connections`."""
        self._dropped.labels(reason).inc()

    def left(self) -> None:
        """Count a client that left before its request was answered."""
        self._left.inc()

    def watch(self, lanes: Callable[[], dict[str, int]]) -> None:
        """Note from now on how many requests are in each lane, as the function tells."""
        self._lanes = lanes

    def stands(self, status: Status) -> None:
        """Note how a gallery stands."""
        self._stands["people"].labels(status.gallery).set(status.people)
        self._stands["faces"].labels(status.gallery).set(status.faces)
        self._stands["index_position"].labels(status.gallery).set(status.position)

    def text(self) -> bytes:
        """Write everything in Prometheus's text format."""
        self._look()
        if not ValueClass.__qualname__.startswith("MultiProcess"):
            return generate_latest(self._registry)
        for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*_*.db"):
            pid = file.stem.rpartition("_")[2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                mark_process_dead(pid)  # type: ignore[no-untyped-call]  # a worker that was killed counts no more
        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
        return generate_latest(everything)

    def _look(self) -> None:
        now = self._lanes()
        for lane, number in now.items():
            if self._noted.get(lane) != number:
                self._inside.labels(lane).set(number)
        self._noted = now
