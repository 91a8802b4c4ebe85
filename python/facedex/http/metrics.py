"""Metrics for Prometheus: requests, their time, the queues, and the galleries.

Several processes share their metrics through the folder of ``PROMETHEUS_MULTIPROC_DIR``, which ``facedex serve`` sets.
One process answers Prometheus for all, so each writes its queues with every response, and a dead one is removed.
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
    """The metrics of an application."""

    def __init__(self) -> None:
        self._lanes: Callable[[], dict[str, int]] = dict
        self._written: dict[str, int] = {}
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
        self._galleries = {
            name: Gauge(f"facedex_{name}", words, ["gallery"], registry=registry, multiprocess_mode="mostrecent")
            for name, words in (
                ("people", "People registered."),
                ("faces", "Faces stored."),
                ("index_position", "The last change that the index has applied."),
            )
        }

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is its template, never its path, which may name people."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)
        self._write_lanes()

    def count_drop(self, reason: str) -> None:
        """Count a connection that was closed or refused, see `facedex.http.connections`."""
        self._dropped.labels(reason).inc()

    def count_leave(self) -> None:
        """Count a client that disconnected before its response."""
        self._left.inc()

    def watch(self, lanes: Callable[[], dict[str, int]]) -> None:
        """Set the function that returns the number of requests in each lane."""
        self._lanes = lanes

    def update_gallery(self, status: Status) -> None:
        """Update the metrics of a gallery."""
        self._galleries["people"].labels(status.gallery).set(status.people)
        self._galleries["faces"].labels(status.gallery).set(status.faces)
        self._galleries["index_position"].labels(status.gallery).set(status.position)

    def text(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        self._write_lanes()
        if not ValueClass.__qualname__.startswith("MultiProcess"):
            return generate_latest(self._registry)
        for file in Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).glob("gauge_live*_*.db"):
            pid = file.stem.rpartition("_")[2]
            if pid.isdigit() and not psutil.pid_exists(int(pid)):
                mark_process_dead(pid)  # type: ignore[no-untyped-call]  # a killed worker
        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]
        return generate_latest(everything)

    def _write_lanes(self) -> None:
        now = self._lanes()
        for lane, number in now.items():
            if self._written.get(lane) != number:
                self._inside.labels(lane).set(number)
        self._written = now
