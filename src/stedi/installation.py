"""How STEDI was installed, and the command that adds an extra to that installation."""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from stedi.errors import UsageError

# A module that only this extra installs, by extra.
_EXTRAS = {"aws": "aws_cdk", "ml": "onnxruntime", "spark": "pyspark"}


@dataclass(frozen=True)
class Installation:
    """The environment that STEDI runs in, and the source that it was installed from.

    Attributes:
        prefix: folder of the environment.
        python: path of its interpreter.
        direct_url: content of `direct_url.json` (PEP 610); empty for a package from a registry.
        installer: content of the package's file `INSTALLER`, such as "pip" or "uv".
        extras: the installed extras.
    """

    prefix: Path
    python: str
    direct_url: Mapping[str, Any]
    installer: str
    extras: frozenset[str] = frozenset()

    @property
    def checkout(self) -> Path | None:
        """The checkout of an editable installation; None for other installations."""
        editable = self.direct_url.get("dir_info", {}).get("editable", False)
        return Path(url2pathname(urlsplit(self.direct_url["url"]).path)) if editable else None

    def requirement(self, extra: str) -> str:
        """Return the PEP 508 requirement of STEDI from the same source, with the installed extras and one more."""
        name = f"stedi[{','.join(sorted(self.extras | {extra}))}]"
        url = self.direct_url.get("url")
        if url is None:
            return name
        if vcs := self.direct_url.get("vcs_info"):
            url = f"{vcs['vcs']}+{url}@{vcs.get('requested_revision') or vcs['commit_id']}"
        if subdirectory := self.direct_url.get("subdirectory"):
            url = f"{url}#subdirectory={subdirectory}"
        return f"{name} @ {url}"

    def command(self, extra: str, folder: Path) -> str:
        """Return the shell command that installs an extra when it is run in a folder."""
        requirement = shlex.quote(self.requirement(extra))
        checkout = self.checkout
        if checkout is not None:
            if self.prefix == checkout / ".venv" and (checkout / "Makefile").is_file():
                return "make setup" if folder == checkout else f"make -C {shlex.quote(str(checkout))} setup"
            extras = ",".join(sorted(self.extras | {extra}))
            requirement = f"--editable {shlex.quote(f'{checkout}[{extras}]')}"
        if (self.prefix / "uv-receipt.toml").is_file():
            return f"uv tool install {requirement}"
        if (self.prefix / "pipx_metadata.json").is_file():
            return f"pipx install --force {requirement}"
        # uvx keeps its environments in uv's cache.
        if any((parent / "CACHEDIR.TAG").is_file() for parent in self.prefix.parents):
            return f"uvx --from {requirement} stedi …"
        if self.installer == "uv":
            return f"uv pip install --python {shlex.quote(self.python)} {requirement}"
        return f"{shlex.quote(self.python)} -m pip install {requirement}"


def installation() -> Installation:
    """Return how the running program was installed."""
    package: Distribution | None
    try:
        package = distribution("stedi")
    except PackageNotFoundError:
        package = None
    return Installation(
        prefix=Path(sys.prefix),
        python=sys.executable,
        direct_url=json.loads((package and package.read_text("direct_url.json")) or "{}"),
        installer=((package and package.read_text("INSTALLER")) or "pip").strip(),
        extras=frozenset(extra for extra, module in _EXTRAS.items() if find_spec(module) is not None),
    )


def not_installed(what: str, extra: str, error: ImportError | OSError) -> UsageError:
    """Return the error for a missing extra, with the command that installs it.

    Args:
        what: what the extra provides, such as "S3 support".
        extra: the extra.
        error: the error of the import. An OSError means that a system library is missing: LightGBM needs OpenMP, which
            slim images lack.
    """
    if isinstance(error, OSError):
        return UsageError(f"{what} can't be loaded ({error}); install that library (libgomp is in Debian's libgomp1)")
    return UsageError(f"{what} is not installed ({error.name}): {installation().command(extra, Path.cwd())}")
