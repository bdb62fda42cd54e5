"""What Glue's Python needs besides Glue's own: our wheel, and what it is built on at the locked versions."""

from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from stedi import __version__

_LOCK = Path(__file__).parents[1] / "requirements.lock"
# What jobs use of the extras; Spark itself is Glue's.
_OF_EXTRAS = ("boto3", "sqlglot")


def wheel_name() -> str:
    """The file name of the project's wheel, which holds Python alone."""
    return f"stedi-{__version__}-py3-none-any.whl"


def python_modules() -> list[str]:
    """The wheel's file name, then every package that it needs, pinned as the lock has it."""
    pins = dict(line.strip().split("==") for line in _LOCK.read_text("utf-8").splitlines() if "==" in line)
    wanted: set[str] = set()
    stack = [(text, "") for text in (*_OF_EXTRAS, *(requires("stedi") or ()))]
    while stack:
        text, extra = stack.pop()
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name not in wanted or requirement.extras:
            wanted.add(name)
            stack += [(needed, chosen) for needed in requires(name) or () for chosen in requirement.extras or ("",)]
    return [wheel_name(), *(f"{name}=={pins[name]}" for name in sorted(wanted))]
