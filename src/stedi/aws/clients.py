"""Clients of the AWS services of a deployment, and the translation of their errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stedi.errors import DeploymentError
from stedi.installation import not_installed

try:
    from stedi.storage.aws_client import create_client
    from stedi.storage.aws_errors import AWS_ERRORS, has_code, translate_aws_errors
except ImportError as error:
    raise not_installed("AWS support", "aws", error) from error

_DENIED = "access is denied; use credentials with the rights that docs/aws.md lists"
_THROTTLED = "AWS asks for fewer requests; wait a minute, then run again"
_HINTS = {
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "InvalidClientTokenId": "the credentials are refused; renew them",
    "ThrottlingException": _THROTTLED,
    "Throttling": _THROTTLED,
}

# Errors about the request itself. Their text says what is wrong with the request, and quotes no data.
_SAFE_TO_QUOTE = ("ValidationError", "InvalidRequestException")
_MAX_QUOTE_LENGTH = 300


def client(service: str) -> Any:
    """Create a client with the region and the credentials of the environment.

    Raises:
        DeploymentError: no region is set, or the environment is not valid.
    """
    return create_client(service, DeploymentError)


def region() -> str:
    """Return the region of the environment."""
    return str(client("cloudformation").meta.region_name)


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Replace AWS's errors by one line.

    Args:
        what: what failed, such as `stack s can't be looked up`.

    Raises:
        DeploymentError: AWS refused a request or can't be reached.
    """
    with translate_aws_errors(what, DeploymentError, _HINTS):
        try:
            yield
        except AWS_ERRORS as error:
            if not has_code(error, *_SAFE_TO_QUOTE):
                raise
            quote = " ".join(str(error).partition("operation: ")[2].split())
            raise DeploymentError(f"{what}: {quote[:_MAX_QUOTE_LENGTH]}") from error
