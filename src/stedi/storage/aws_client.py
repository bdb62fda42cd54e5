"""Clients of AWS, set up as its usual environment and profiles say, and what AWS refuses in our words.

The one place that imports boto3 for what runs do. Endpoint, region and credentials come from the environment.
"""

import os
import re
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
)
from botocore.loaders import Loader
from botocore.session import Session

from stedi.errors import StediError

AWS_ERRORS = (ClientError, BotoCoreError)
# How it shows that a body broke off, which boto3 doesn't try again.
BROKEN_OFF = (HTTPClientError, IncompleteReadError, FlexibleChecksumError)

# Enough to hide the wait for small objects; large ones fill the line with fewer.
PARALLEL = 8
_CONFIG = {
    # AWS answers in well under a second, 10 s allow for lost packets. Stores of one's own may first
    # have to spin up a disk: a minute of silence.
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": PARALLEL,
}
# Four pauses of up to 1, 2, 4 and 8 s ride out a throttled prefix or a node that restarts.
_ATTEMPTS = 5
# What breaks a line or steers a terminal: a store of one's own may answer with anything.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

_NAMES = {"s3": "S3", "glue": "Glue", "secretsmanager": "Secrets Manager", "sns": "SNS"}
_AWS = re.compile(r"\.amazonaws\.com(\.cn)?(:\d+)?/?$")
_REFUSED = "the credentials are refused; renew them"
_ELSEWHERE = "the bucket lies in another region; name it in AWS_DEFAULT_REGION"
_NO_CONNECTION = "the connection fails; check the network and AWS_ENDPOINT_URL, then run again"
_ADVICE = {
    "NetworkConnection": _NO_CONNECTION,
    "NoSuchBucket": "the bucket does not exist; check its name, and AWS_ENDPOINT_URL if the store is not AWS",
    "InvalidObjectState": "the object is archived; restore it",
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "InvalidSignatureException": _REFUSED,
    "UnrecognizedClientException": _REFUSED,
    "ExpiredToken": _REFUSED,
    "ExpiredTokenException": _REFUSED,
    "InvalidToken": _REFUSED,
    "PermanentRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
}


@cache
def _loader() -> Loader:
    """What reads the descriptions of services; reading S3's takes a fifth of a second, once."""
    return Loader()


def _session() -> boto3.Session:
    """The environment as it is now."""
    bare = Session()
    bare.register_component("data_loader", _loader())
    return boto3.Session(botocore_session=bare)


def connect(service: str, refused: type[StediError]) -> Any:
    """A client of a service by its name, as the environment is now; threads may share it.

    Raises:
        StediError: of the class `refused`, where the environment can't be understood.
    """
    try:
        retries: dict[str, Any] = {"mode": "standard"}
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            retries["total_max_attempts"] = _ATTEMPTS
        return _session().client(service, config=Config(retries=retries, **_CONFIG))
    except NoRegionError as error:
        raise refused("no AWS region is set; name it in AWS_DEFAULT_REGION") from error
    except (BotoCoreError, ValueError) as error:
        # Its text may hold an endpoint with a password in it.
        raise refused(
            f"{_NAMES.get(service, service)} can't be set up ({type(error).__name__}); "
            "correct the AWS credentials, profile or AWS_ENDPOINT_URL"
        ) from error


class Access:
    """What a client that is not boto3's has to be told to reach a service as boto3 does.

    `endpoint` is where the service is, if that is not AWS.
    """

    def __init__(self, service: str, refused: type[StediError]) -> None:
        """Look at the environment as it is now.

        Raises:
            StediError: of the class `refused`, where it can't be understood.
        """
        with closing(connect(service, refused)) as client:
            url = str(client.meta.endpoint_url)
            self.endpoint = None if _AWS.search(url) else url
            self.region = str(client.meta.region_name)
        self._credentials = _session().get_credentials()

    def keys(self) -> tuple[str | None, str | None, str | None]:
        """Key, secret and token as they are at this moment: those of a role change every few hours."""
        if self._credentials is None:
            return None, None, None
        now = self._credentials.get_frozen_credentials()
        return now.access_key, now.secret_key, now.token


def advice(error: Exception, more: Mapping[str, str]) -> str:
    """What failed and what to do, without the error's own text, which may span lines or hold secrets.

    `more` says what to do about some codes in the caller's case.
    """
    if isinstance(error, ClientError):
        return advice_on(_code(error), more)
    if isinstance(error, NoCredentialsError):
        return "there are no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, (ConnectionError, *BROKEN_OFF)):
        return _NO_CONNECTION
    return f"{type(error).__name__}; correct the AWS credentials and profile"


def advice_on(code: str, more: Mapping[str, str]) -> str:
    """The same for an error by its name or HTTP status, as other clients than boto3's tell them too."""
    known = {**_ADVICE, **more}
    if code in known:
        return known[code]
    return f"AWS answers {_UNSAFE.sub(' ', code)}; run again, and if it stays so, check AWS_ENDPOINT_URL"


def is_answer(error: Exception, *codes: str) -> bool:
    """Whether an error is AWS's answer, and one of some names or HTTP statuses."""
    return isinstance(error, ClientError) and _code(error) in codes


def _code(error: ClientError) -> str:
    """AWS's name of the error, or the HTTP status where something else than AWS answered."""
    response = error.response
    return str(response.get("Error", {}).get("Code") or response["ResponseMetadata"]["HTTPStatusCode"])
