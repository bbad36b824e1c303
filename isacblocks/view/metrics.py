"""A flowgraph's counters for Prometheus, over HTTP at /metrics, while it runs.

with MetricsServer(fg, "127.0.0.1", 9464):
    fg.run()
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from isacblocks.stream import Flowgraph, Status
from isacblocks.view.access import AccessError, admits, require_token

PORT = 9464  # what exporters use where nothing else is told
_PATIENCE = 5.0  # seconds that a client may take to say what it wants
_CLIENTS = 8  # at once; further ones are turned away


class NoMetricsError(RuntimeError):
    """The library is not installed."""


class FlowgraphCollector:
    """What prometheus_client asks for the figures of a status; names and units follow Prometheus's conventions."""

    def __init__(self, flowgraph: Flowgraph) -> None:
        self.flowgraph = flowgraph

    def collect(self) -> Iterator[Any]:
        """All families of the present status."""
        from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

        status = self.flowgraph.status
        yield InfoMetricFamily("isacblocks_flowgraph", "phase", value={"name": self.flowgraph.name, "phase": status.phase})
        yield GaugeMetricFamily("isacblocks_running_seconds", "since the first block began to run", value=status.seconds)
        yield from self._blocks(status)
        yield from self._edges(status)

    @staticmethod
    def _blocks(status: Status) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counters = {
            "items_in": "items taken in",
            "items_out": "items sent on",
            "messages": "messages processed",
            "work_seconds": "wall time inside process()",
            "work_cpu_seconds": "processor time inside process()",
            "cpu_seconds": "processor time of the block's thread",
            "restarts": "processes that died and were replaced",
            "bad_messages": "messages that came to input ports and could not be taken",
            "strangers": "requests to output ports that could not be taken",
        }
        for name, what in counters.items():
            family = CounterMetricFamily(f"isacblocks_block_{name}", what, labels=["block"])
            for block, found in status.blocks.items():
                family.add_metric([block], float(getattr(found, name)))
            yield family
        refused = CounterMetricFamily(
            "isacblocks_block_refused", "messages not taken, by reason", labels=["block", "reason"]
        )
        for block, found in status.blocks.items():
            for reason, count in found.refused.items():
                refused.add_metric([block, reason], count)
        yield refused
        readings = GaugeMetricFamily("isacblocks_reading", "what blocks show of themselves", labels=["block", "reading"])
        for block, found in status.blocks.items():
            for name, value in found.readings.items():
                readings.add_metric([block, name], value)
        yield readings

    @staticmethod
    def _edges(status: Status) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        ends = ["sender", "receiver"]
        produced = CounterMetricFamily("isacblocks_edge_produced", "items sent", labels=ends)
        committed = CounterMetricFamily("isacblocks_edge_committed", "items processed by the receiver", labels=ends)
        in_flight = GaugeMetricFamily("isacblocks_edge_in_flight", "items on their way", labels=ends)
        dropped = CounterMetricFamily("isacblocks_edge_dropped", "items lost, by reason", labels=[*ends, "reason"])
        for edge in status.edges:
            where = [edge.sender, edge.receiver]
            produced.add_metric(where, edge.produced)
            committed.add_metric(where, edge.committed)
            in_flight.add_metric(where, edge.in_flight)
            for reason, count in edge.dropped.items():
                dropped.add_metric([*where, reason], count)
        yield from (produced, committed, in_flight, dropped)


class _Server(ThreadingHTTPServer):
    """At most _CLIENTS at once, none of them for longer than it takes."""

    daemon_threads = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(_CLIENTS)
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a line."""
        logging.getLogger("isacblocks.view.metrics").debug("a client failed", exc_info=True)


class MetricsServer:
    """Serves a flowgraph's figures while the ``with`` lasts; port 0: a free one, see ``port``.

    Raises AccessError for an address beyond loopback without a token, or one that cannot be bound; NoMetricsError without
    prometheus_client.
    """

    def __init__(self, flowgraph: Flowgraph, host: str = "127.0.0.1", port: int = PORT, token: str | None = None) -> None:
        require_token(host, token)
        try:
            from prometheus_client import CollectorRegistry, generate_latest
        except ImportError as error:
            raise NoMetricsError("metrics need prometheus_client; pip install 'isacblocks[metrics]'") from error
        registry = CollectorRegistry(auto_describe=False)
        registry.register(FlowgraphCollector(flowgraph))

        class Handler(BaseHTTPRequestHandler):
            timeout = _PATIENCE
            server_version, sys_version = "isacblocks", ""

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                query = parse_qs(url.query).get("token", [None])[0]
                if not admits(token, self.headers.get("Authorization"), query):
                    self._answer(401, b"a token is needed\n")
                elif url.path != "/metrics":
                    self._answer(404, b"figures are at /metrics\n")
                else:
                    self._answer(200, generate_latest(registry))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                if status == 401:
                    self.send_header("WWW-Authenticate", "Bearer")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                logging.getLogger("isacblocks.view.metrics").debug(format, *args)

        try:
            self._server = _Server(host, port, Handler)
        except OSError as error:
            raise AccessError(
                f"{host}:{port}: the metrics cannot be served there: {error.strerror}; choose another port"
            ) from error
        self.host, self.port = host, int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="isacblocks metrics", daemon=True
        )

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)
