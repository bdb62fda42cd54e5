"""Parts of SVG pictures, with texts that XML allows."""

import re
from collections.abc import Iterable
from html import escape

# XML 1.0, section 2.2: other characters may not occur in a document, not even as a character reference.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def escaped(text: str) -> str:
    """Escape a text for XML. Characters that XML does not allow are replaced."""
    return escape(_NOT_IN_XML.sub("\ufffd", text))


def text(x: float, y: float, content: str, anchor: str = "start") -> str:
    """Return a text element. `anchor` is the part of the text at x: start, middle or end."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escaped(content)}</text>'


def rectangle(x: float, y: float, width: float, height: float, fill: str, tooltip: str) -> str:
    """Return a rectangle with a tooltip."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
        f'fill="{fill}"><title>{escaped(tooltip)}</title></rect>'
    )


def document(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """Return the text of an SVG document on a white ground."""
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            'font-size="12">',
            f"<title>{escaped(title)}</title>",
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *parts,
            "</svg>\n",
        )
    )
