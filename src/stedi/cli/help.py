"""Load typer's help renderer without the modules of rich that this program does not use."""

import sys
from types import ModuleType

# The help contains neither Markdown nor tracebacks. Importing both modules would take a third of the time of
# `stedi --help` and of a completion.
_UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}


def load_help_renderer() -> None:
    """Import `typer.rich_utils`, with placeholders for the classes that it imports and never calls."""
    placeholders = {}
    for module, name in _UNUSED.items():
        if module not in sys.modules:
            placeholders[module] = sys.modules[module] = ModuleType(module)
            setattr(sys.modules[module], name, type(name, (), {}))
    try:
        import typer.rich_utils  # noqa: F401
    finally:
        # Later imports load the real modules.
        for module in placeholders:
            del sys.modules[module]
