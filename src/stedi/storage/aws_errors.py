"""Translate errors of AWS and boto3 to one line: what failed, and what to do next."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
)

from stedi.errors import StediError

AWS_ERRORS = (ClientError, BotoCoreError)
# Errors of an incomplete response body. boto3 does not retry them.
BROKEN_BODY = (HTTPClientError, IncompleteReadError, FlexibleChecksumError)

# Characters that break a line or control a terminal: a store that is not AWS may answer with anything.
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_BAD_CREDENTIALS = "the credentials are refused; renew them"
_OTHER_REGION = "the bucket is in another region; name it in AWS_DEFAULT_REGION"
_NO_CONNECTION = "the connection fails; check the network and AWS_ENDPOINT_URL, then run again"
_HINTS = {
    "NetworkConnection": _NO_CONNECTION,
    "NoSuchBucket": "the bucket does not exist; check its name, and AWS_ENDPOINT_URL if the store is not AWS",
    "InvalidObjectState": "the object is archived; restore it",
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
    "InvalidAccessKeyId": _BAD_CREDENTIALS,
    "SignatureDoesNotMatch": _BAD_CREDENTIALS,
    "InvalidSignatureException": _BAD_CREDENTIALS,
    "UnrecognizedClientException": _BAD_CREDENTIALS,
    "ExpiredToken": _BAD_CREDENTIALS,
    "ExpiredTokenException": _BAD_CREDENTIALS,
    "InvalidToken": _BAD_CREDENTIALS,
    "PermanentRedirect": _OTHER_REGION,
    "AuthorizationHeaderMalformed": _OTHER_REGION,
}
# Hints for the requests that a warehouse sends to S3 and Glue.
WAREHOUSE_HINTS = {
    "AccessDenied": "access is denied; grant s3:ListBucket on the bucket and s3:GetObject, s3:PutObject and "
    "s3:DeleteObject below the prefix, and use of its KMS key",
    "AccessDeniedException": "access is denied; grant glue:GetDatabase, GetTable, CreateTable and UpdateTable on the "
    "database and its tables",
}


@contextmanager
def translate_aws_errors(what: str, raises: type[StediError], hints: Mapping[str, str]) -> Iterator[None]:
    """Replace AWS's errors by one line.

    Args:
        what: what failed, such as `bucket b can't be listed`.
        raises: class of the error to raise.
        hints: reason and next step by AWS's error code. They replace the general hints.

    Raises:
        StediError: of class `raises`; AWS refused a request or can't be reached.
    """
    try:
        yield
    except AWS_ERRORS as error:
        raise raises(f"{what}: {explain(error, hints)}") from error


def explain(error: Exception, hints: Mapping[str, str]) -> str:
    """Say why AWS failed and what to do next, without the error's own text: it may span lines or contain secrets."""
    if isinstance(error, ClientError):
        return explain_code(error_code(error), hints)
    if isinstance(error, NoCredentialsError):
        return "there are no credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    if isinstance(error, (ConnectionError, *BROKEN_BODY)):
        return _NO_CONNECTION
    return f"{type(error).__name__}; correct the AWS credentials and profile"


def explain_code(code: str, hints: Mapping[str, str]) -> str:
    """Say why AWS failed and what to do next, for an error code or HTTP status from any client."""
    hint = hints.get(code) or _HINTS.get(code)
    return hint or f"AWS answers {_UNSAFE.sub(' ', code)}; run again, and if it fails again, check AWS_ENDPOINT_URL"


def has_code(error: Exception, *codes: str) -> bool:
    """Whether an error is a response of AWS with one of these error codes or HTTP statuses."""
    return isinstance(error, ClientError) and error_code(error) in codes


def error_code(error: ClientError) -> str:
    """Return AWS's error code, or the HTTP status of a response without one, such as a proxy's."""
    response = error.response
    return str(response.get("Error", {}).get("Code") or response["ResponseMetadata"]["HTTPStatusCode"])
