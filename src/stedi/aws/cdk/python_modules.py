"""Python modules of the Glue jobs: STEDI's wheel and its pinned dependencies."""

from importlib.resources import files

from stedi import __version__


def wheel_name() -> str:
    """Return the wheel's file name."""
    return f"stedi-{__version__}-py3-none-any.whl"


def python_modules() -> list[str]:
    """Return the wheel's file name and one `name==version` per dependency; `make lock` writes the versions."""
    return [wheel_name(), *files(__package__).joinpath("glue_modules.txt").read_text("utf-8").split()]
