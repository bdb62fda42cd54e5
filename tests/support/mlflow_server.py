"""A server that answers like MLflow's, with one run of one model. Starting MLflow's own takes a web framework."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class MlflowServer(ThreadingHTTPServer):
    """The server.

    Attributes:
        model: name of the run.
        is_deleted: whether the run was deleted, which keeps it until `mlflow gc`.
    """

    model = ""
    is_deleted = False


@contextmanager
def mlflow_server(model: str) -> Iterator[MlflowServer]:
    """Serve on a free port of this machine."""
    with MlflowServer(("127.0.0.1", 0), _Handler) as server:
        server.model = model
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: MlflowServer

    def do_GET(self) -> None:
        self._answer({"root_uri": "", "files": []})

    def do_POST(self) -> None:
        stage = "deleted" if self.server.is_deleted else "active"
        info = {"run_id": "r1", "run_name": self.server.model, "experiment_id": "1", "lifecycle_stage": stage}
        if self.path.endswith("/experiments/search"):
            self._answer({"experiments": [{"experiment_id": "1", "name": "stedi-step-detector"}]})
        elif self.path.endswith("/runs/search"):
            self._answer({"runs": [{"info": info, "data": {}}]})
        else:
            assert self.path.endswith("/runs/delete")
            self.server.is_deleted = True
            self._answer({})

    def _answer(self, content: object) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Print no request."""
