"""Clients of AWS services: endpoint, region, profile and credentials come from AWS's usual environment."""

import os
import re
from contextlib import closing
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoRegionError
from botocore.loaders import Loader
from botocore.session import Session

from stedi.errors import StediError

# Parallel requests of one client: enough to hide the latency of small objects. Large objects use the full bandwidth with
# fewer.
PARALLEL_REQUESTS = 8
_CONFIG = {
    # AWS responds in well under a second, and 10 s allow for lost packets. Other S3 stores may have to spin up a disk first,
    # so reads wait for a minute.
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": PARALLEL_REQUESTS,
}
# Four pauses of up to 1, 2, 4 and 8 s ride out a throttled prefix or a node that restarts.
_ATTEMPTS = 5
_SERVICE_NAMES = {"s3": "S3", "glue": "Glue", "secretsmanager": "Secrets Manager", "sns": "SNS"}
_AWS_ENDPOINT = re.compile(r"\.amazonaws\.com(\.cn)?(:\d+)?/?$")


@cache
def _loader() -> Loader:
    """Create the loader of botocore's service descriptions. It is shared: reading that of S3 takes 0.2 s."""
    return Loader()


def _session() -> boto3.Session:
    """Create a session with the environment as it is now."""
    bare = Session()
    bare.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=bare)


def create_client(service: str, raises: type[StediError]) -> Any:
    """Create a boto3 client with the environment as it is now. Threads may share it.

    Args:
        service: boto3's name of the service, such as `s3`.
        raises: class of the error for an environment that is not valid.

    Raises:
        StediError: of class `raises`; no region is set, or credentials, profile or endpoint are not valid.
    """
    try:
        retries: dict[str, Any] = {"mode": "standard"}
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            retries["total_max_attempts"] = _ATTEMPTS
        return _session().client(service, config=Config(retries=retries, **_CONFIG))
    except NoRegionError as error:
        raise raises("no AWS region is set; name it in AWS_DEFAULT_REGION") from error
    except (BotoCoreError, ValueError) as error:
        # The text of the error may contain an endpoint with a password in it.
        raise raises(
            f"{_SERVICE_NAMES.get(service, service)} can't be set up ({type(error).__name__}); "
            "correct the AWS credentials, profile or AWS_ENDPOINT_URL"
        ) from error


class ConnectionSettings:
    """Endpoint, region and credentials of a service, for clients other than boto3's.

    `endpoint` is a URL, or None for AWS itself.
    """

    def __init__(self, service: str, raises: type[StediError]) -> None:
        """Read the environment as it is now. For the arguments and errors see `create_client`."""
        with closing(create_client(service, raises)) as client:
            url = str(client.meta.endpoint_url)
            self.endpoint = None if _AWS_ENDPOINT.search(url) else url
            self.region = str(client.meta.region_name)
        self._credentials = _session().get_credentials()

    def credentials(self) -> tuple[str | None, str | None, str | None]:
        """Return the current access key, secret key and session token. Those of a role change every few hours."""
        if self._credentials is None:
            return None, None, None
        now = self._credentials.get_frozen_credentials()
        return now.access_key, now.secret_key, now.token
