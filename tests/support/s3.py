"""An emulated S3 store and Glue catalog, and a proxy that makes requests to them fail."""

import copy
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from moto.glue.models import glue_backends
from moto.s3.models import s3_backends
from pyiceberg.catalog.glue import GlueCatalog

from tests.support.lake import Lake, Record
from tests.support.moto_server import forget_all, moto_server

BUCKET = "stedi-landing"
ACCOUNT, REGION = "123456789012", "eu-central-1"


# Objects per page of a listing. AWS has 1,000.
PAGE = 40


class Store:
    """A bucket."""

    def __init__(self) -> None:
        self.client = boto3.Session().client("s3")
        self.client.create_bucket(Bucket=BUCKET)

    def put(self, key: str, body: bytes = b"{}") -> None:
        """Write an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self.client.delete_object(Bucket=BUCKET, Key=key)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """Host and port of a moto server, once per module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", str(PAGE))
        with moto_server() as address:
            yield address


def set_environment(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Set the environment to the test's AWS account, and unset all other AWS settings."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_CONFIG_FILE", str(folder / "no-config"))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "no-credentials"))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_ACCESS_KEY_ID", "test-key")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    # Pauses between attempts grow, so test with one retry.
    patch.setenv("AWS_MAX_ATTEMPTS", "2")


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Set the environment of every test to the test's AWS account."""
    set_environment(monkeypatch, tmp_path)


def new_store(server: tuple[str, int], patch: pytest.MonkeyPatch) -> Store:
    """Empty the server, and set the environment to its address. Return the store."""
    host, port = server
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    forget_all(server)
    return Store()


@pytest.fixture
def store(server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty bucket."""
    return new_store(server, monkeypatch)


@dataclass(frozen=True)
class StoreCopy:
    """The objects of the bucket and the databases of Glue at one moment."""

    objects: dict[str, bytes]
    databases: Any

    @classmethod
    def take(cls) -> "StoreCopy":
        """Copy the current state."""
        keys = s3_backends[ACCOUNT]["aws"].buckets[BUCKET].keys
        return cls({name: key.value for name, key in keys.items()}, copy.deepcopy(glue_backends[ACCOUNT][REGION].databases))

    def restore(self) -> None:
        """Add the copied objects and databases to an empty store."""
        for name, content in self.objects.items():
            s3_backends[ACCOUNT]["aws"].put_object(BUCKET, name, content)
        glue_backends[ACCOUNT][REGION].databases.update(copy.deepcopy(self.databases))


Trouble = Callable[[str], str | None]


@pytest.fixture
def trouble(store: Store, server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Trouble], None]]:
    """Start a proxy between the program and the store that fails some requests.

    The test passes a function from the request's path to the failure: a status with an S3 error code, such as
    "503 SlowDown"; a status alone; "cut" for half of the body; "lost" for an error although the request was executed;
    None for the store's own answer.
    """
    running: list[ThreadingHTTPServer] = []

    def begin(how: Trouble) -> None:
        class Handler(BaseHTTPRequestHandler):
            # HTTP/1.1, because clients wait for `100 Continue` before they send a body.
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self._store = HTTPConnection(*server)

            def finish(self) -> None:
                self._store.close()
                super().finish()

            def do_GET(self) -> None:
                sent = self._sent()
                answer = how(self.path)
                if answer in (None, "cut", "lost"):
                    self._store.request(self.command, self.path, sent, dict(self.headers.items()))
                    response = self._store.getresponse()
                    status, headers, body = str(response.status), response.getheaders(), response.read()
                if answer and answer != "cut":
                    status, _, code = "500 InternalError".partition(" ") if answer == "lost" else answer.partition(" ")
                    body = f"<Error><Code>{code}</Code><Message>two\nlines</Message></Error>".encode() if code else b"What?"
                    if self.path == "/":
                        # Services other than S3 use JSON.
                        body = json.dumps({"__type": code}).encode()
                    headers = [("Content-Length", str(len(body)))]
                self.send_response(int(status))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.close_connection = answer is not None
                self.wfile.write(body[: len(body) // 2] if answer == "cut" else body)

            def _sent(self) -> bytes:
                """Read the request's body, which may be chunked."""
                if "Transfer-Encoding" not in self.headers:
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sent, size = b"", -1
                while size:
                    line = self.rfile.readline()
                    size = int(line.partition(b";")[0], 16)
                    sent += line + self.rfile.read(size + 2 if size else 0)
                while (line := self.rfile.readline()).strip():
                    sent += line
                return sent + line

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        running.append(proxy)
        Thread(target=proxy.serve_forever, args=[0.02], daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.server_port}")

    yield begin
    for proxy in running:
        proxy.shutdown()
        proxy.server_close()


PLACE = f"s3://{BUCKET}/lake/house"


class LakeInS3(Lake):
    """A lake whose warehouse is in a bucket."""

    def __init__(self, folder: Path, database: str = "stedi") -> None:
        super().__init__(folder)
        self.settings = self.settings.model_copy(update={"warehouse": PLACE, "database": database})

    def land(self, name: str, records: Iterable[Record] | bytes) -> Path:
        """Write a landing file. Replaces a link instead of the file that it points to, which other tests need."""
        (self.landing / name).unlink(missing_ok=True)
        return super().land(name, records)

    def link_landing_files(self, lake: Lake) -> None:
        """Link another lake's landing files. A run takes them for the same files, because version and time are the same."""
        for path in (path for path in lake.landing.rglob("*") if path.is_file()):
            link = self.landing / path.relative_to(lake.landing)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path)


def iceberg(name: str, database: str = "stedi") -> Any:
    """Open a table with PyIceberg alone."""
    where = {"s3.endpoint": os.environ["AWS_ENDPOINT_URL"], "glue.endpoint": os.environ["AWS_ENDPOINT_URL"]}
    return GlueCatalog("other", **where, **{"glue.region": REGION}).load_table((database, name))
