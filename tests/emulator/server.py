# Copyright: Contributors to the amistore.aws project
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTPS on the loopback address, threaded, with connections that are kept alive.

Plain HTTP is answered on the same port, so that policies which insist on TLS can be seen to work.
"""

from __future__ import annotations

import socket
import ssl
import sys
from typing import Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import ThreadedWSGIServer

from .answers import Answer
from .certificates import CertificateFiles
from .gateway import Gateway

LOOPBACK = "127.0.0.1"
_TLS_HANDSHAKE = b"\x16"


class EmulatorServer(ThreadedWSGIServer):
    """Listens from the moment it is made; `serve_forever` answers."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, gateway: Gateway, files: CertificateFiles, port: int = 0) -> None:
        super().__init__(LOOPBACK, port, _never, handler=EmulatorHandler)
        self.gateway = gateway
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(files.certificate, files.key)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up or do not trust the certificate are no error of the server."""
        if not isinstance(sys.exc_info()[1], (ssl.SSLError, ConnectionError)):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.server_address[1]}"


def _never(_environ: Any, _start_response: Any) -> Any:
    raise RuntimeError("requests are answered by the gateway")


class EmulatorHandler(MotoRequestHandler):
    """One connection: TLS or not, any number of requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: EmulatorServer

    def setup(self) -> None:
        # Done here, in the connection's own thread, so that a slow client delays nobody.
        if self.request.recv(1, socket.MSG_PEEK) == _TLS_HANDSHAKE:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            self.request.close()

    def make_environ(self) -> dict[str, Any]:
        environ = super().make_environ()
        secure = isinstance(self.request, ssl.SSLSocket)
        environ["wsgi.url_scheme"] = "https" if secure else "http"
        return environ

    def handle_expect_100(self) -> bool:
        """Said once, in `run_wsgi`."""
        return True

    def run_wsgi(self) -> None:
        """Answer one request with all of its body read, which keeps the connection usable."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.wfile.flush()
        answer = self.server.gateway.answer(self.make_environ())
        if answer is None:
            self._cut()
        else:
            self._send(answer)

    def _cut(self) -> None:
        self.close_connection = True
        self.request.shutdown(socket.SHUT_RDWR)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        names = {name.lower() for name, _value in answer.headers}
        for name, value in answer.headers:
            self.send_header(name, value)
        if "content-length" not in names and answer.status != 204:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.cut_at])
        self.wfile.flush()
        if answer.cut_at is not None:
            self._cut()

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The Date header, by the emulated clock."""
        now = self.server.gateway.now() if timestamp is None else timestamp
        return super().date_time_string(now)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The journal has it."""
