"""Clients of the services that a deployment is made of, and what they refuse in our words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stedi.errors import DeploymentError
from stedi.installation import not_installed

try:
    from stedi.storage.aws_client import AWS_ERRORS, advice, connect, is_answer
except ImportError as error:
    raise not_installed("AWS support", "aws", error) from error

_DENIED = "access is denied; use credentials with the rights that docs/aws.md lists"
_ADVICE = {
    "AccessDenied": _DENIED,
    "AccessDeniedException": _DENIED,
    "InvalidClientTokenId": "the credentials are refused; renew them",
    "ThrottlingException": "AWS asks for fewer requests; wait a minute, then run again",
    "Throttling": "AWS asks for fewer requests; wait a minute, then run again",
}

# Answers about the request itself: their text says what is wrong with it, and quotes no data.
_EXPLAINED = ("ValidationError", "InvalidRequestException")
_LONGEST = 300


def client(service: str) -> Any:
    """A client of a service in the region and with the credentials of the environment.

    Raises:
        DeploymentError: there is no region, or the environment can't be understood.
    """
    return connect(service, DeploymentError)


def region() -> str:
    """The region that the environment names."""
    return str(client("cloudformation").meta.region_name)


@contextmanager
def plain_errors(what: str) -> Iterator[None]:
    """Say what AWS refuses in one line; `what` says what could not be done."""
    try:
        yield
    except AWS_ERRORS as error:
        if is_answer(error, *_EXPLAINED):
            said = " ".join(str(error).partition("operation: ")[2].split())
            raise DeploymentError(f"{what}: {said[:_LONGEST]}") from error
        raise DeploymentError(f"{what}: {advice(error, _ADVICE)}") from error
