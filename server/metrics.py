"""Figures for Prometheus: requests, errors, rows, seconds, and which model.

Belongs here: the metrics and their names. Not here: when something is counted (endpoint.py).
Imported as edge_runtime.server.metrics.

Labels hold nothing that a request could choose: routes as declared, and statuses.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from edge_runtime.model import Model

from .state import State

__all__ = ["Metrics", "RouteFigures"]

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """One application's metrics, in a registry of their own."""

    def __init__(self, model: Model, state: State) -> None:
        self.registry = registry = CollectorRegistry()
        about = {"name": model.name, "version": model.version, "variant": model.variant, "digest": model.digest}
        Info("edge_model", "The model that is served.", registry=registry).info(about)
        waiting = Gauge(
            "edge_requests_in_progress", "Requests to the model that have no answer yet.", registry=registry
        )
        waiting.set_function(lambda: state.requests)
        ready = Gauge("edge_ready", "1 where /readyz says yes.", registry=registry)
        ready.set_function(lambda: not state.draining)
        route = ("route",)
        self.requests = Counter("edge_requests_total", "Requests to the model.", route, registry=registry)
        self.errors = Counter(
            "edge_errors_total", "Requests to the model that were not answered with 200.", ("route", "status"),
            registry=registry,
        )  # fmt: skip
        self.rows = Counter("edge_rows_total", "Rows that were answered.", route, registry=registry)
        self.seconds = Histogram(
            "edge_request_duration_seconds", "From a request's head to its answer.", route, buckets=BUCKETS,
            registry=registry,
        )  # fmt: skip
        ProcessCollector(registry=registry)

    def of_route(self, route: str) -> RouteFigures:
        return RouteFigures(self, route)


class RouteFigures:
    """The figures of one route."""

    def __init__(self, metrics: Metrics, route: str) -> None:
        self.route, self.errors = route, metrics.errors
        self.count = metrics.requests.labels(route).inc
        self.answered = metrics.rows.labels(route).inc
        self.took = metrics.seconds.labels(route).observe

    def take(self, seconds: float, rows: int, status: int) -> None:
        self.count()
        self.took(seconds)
        if status == 200:
            self.answered(rows)
        else:
            self.errors.labels(self.route, str(status)).inc()
