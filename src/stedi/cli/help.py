"""Load typer's help renderer without the parts of rich that it imports and this program does not use."""

import sys
from types import ModuleType

# The help is neither Markdown nor a traceback. Both modules take a third of the time of `stedi --help` to import.
_UNUSED = {"rich.markdown": "Markdown", "rich.traceback": "Traceback"}


def load_help_renderer() -> None:
    """Import `typer.rich_utils`, with placeholders for the classes that it only names."""
    placeholders = {}
    for module, name in _UNUSED.items():
        if module not in sys.modules:
            placeholders[module] = sys.modules[module] = ModuleType(module)
            setattr(sys.modules[module], name, type(name, (), {}))
    try:
        import typer.rich_utils  # noqa: F401
    finally:
        # Whoever imports these modules later gets the real ones.
        for module in placeholders:
            del sys.modules[module]
