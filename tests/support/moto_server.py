"""A moto server that is fast enough for thousands of requests."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BytesIO
from threading import Thread
from typing import Any

import botocore.loaders
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

# boto3 parses the description of S3 for each session, which takes 50 ms.
botocore.loaders.create_loader = functools.cache(botocore.loaders.create_loader)


class _Handler(MotoRequestHandler):
    """Keeps connections open. Werkzeug's own handler closes each after one request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def handle_expect_100(self) -> bool:
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def run_wsgi(self) -> None:
        self.environ = environ = self.make_environ()
        # The next request begins after the body, so read all of the body.
        length = -1 if environ.get("wsgi.input_terminated") else int(self.headers.get("Content-Length", 0))
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(length))
        environ["wsgi.input_terminated"] = True

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Callable[[bytes], object]:
            code, _, reason = status.partition(" ")
            self.send_response(int(code), reason)
            for header in headers:
                self.send_header(*header)
            return self.wfile.write

        answer = self.server.app(environ, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        if b"content-length:" not in b"".join(self._headers_buffer).lower():
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""


class _Application(DomainDispatcherApplication):
    """Caches the service of each host. Moto looks it up in its modules' folders for each request."""

    @functools.cache  # noqa: B019
    def get_backend_for_host(self, host: str | None) -> Any:
        return super().get_backend_for_host(host)


@contextmanager
def moto_server() -> Iterator[tuple[str, int]]:
    """Run a server, and yield its host and port. All servers of a process share one state."""
    server = make_server("127.0.0.1", 0, _Application(create_backend_app), threaded=True, request_handler=_Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield "127.0.0.1", server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def forget_all(address: tuple[str, int]) -> None:
    """Reset all services of a server."""
    connection = HTTPConnection(*address)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.close()
