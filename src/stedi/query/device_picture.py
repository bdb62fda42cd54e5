"""Draw how a device's reading times coincide with its candidates' phones over time, as SVG."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape

from stedi.query.devices import HOUR_MS, Explanation

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 64, 44
_COLOURS = ("#2c7bb6", "#d7191c")
_MOST_LABELS = 8
_LABEL_WIDTH = 112
_MOST_SERIAL = 60
# XML 1.0, 2.2: no other character may occur in a document, not even as a reference.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shown_serial(serial: str) -> str:
    """A serial number for people, cut where it is longer than any real one."""
    return serial if len(serial) <= _MOST_SERIAL else f"{serial[:_MOST_SERIAL]}…"


def shown_time(ms: int, width_ms: int = HOUR_MS) -> str:
    """A time in UTC; without its hour where it stands for a day or more."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):{'%Y-%m-%d %H:%M' if width_ms <= HOUR_MS else '%Y-%m-%d'}}"


def shown_width(width_ms: int) -> str:
    """The width of a slot in words."""
    days = width_ms // (24 * HOUR_MS)
    return f"{days} days" if days > 1 else ("day" if days else "hour")


def why_empty(explanation: Explanation) -> str | None:
    """The sentence that takes the place of a picture without bars; None where there are bars."""
    if not explanation.slots:
        return "The device has no readings, so nothing can coincide with a phone."
    if not explanation.candidates:
        readings = sum(slot.reading_times for slot in explanation.slots)
        return f"None of the device's {readings:,} reading times coincides with a phone's."
    return None


def picture(explanation: Explanation) -> str:
    """The shares of reading times that coincide with the first two candidates, as an SVG picture: two bars a slot.

    Dashed lines mark where a period begins. Without bars the picture holds a sentence that says why.
    """
    heading = f"device {shown_serial(explanation.serial)}: reading times that coincide with a phone's"
    sentence = why_empty(explanation)
    parts = [_text(_WIDTH / 2, _HEIGHT / 2, sentence, "middle")] if sentence else [*_axes(), *_bars(explanation)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
            'font-size="12">',
            f"<title>{_escaped(heading)}</title>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
            _text(_LEFT, 22, heading, "start"),
            *parts,
            "</svg>\n",
        )
    )


def _escaped(text: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", text))


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{_escaped(text)}</text>'


def _height(share: float) -> float:
    return min(share, 1) * (_HEIGHT - _TOP - _BOTTOM)


def _axes() -> Iterator[str]:
    for share in (0, 0.5, 1):
        y = _HEIGHT - _BOTTOM - _height(share)
        yield f'<path d="M{_LEFT} {y:g}H{_WIDTH - _RIGHT}" stroke="#ccc"/>'
        yield _text(_LEFT - 6, y + 4, f"{share:.0%}", "end")


def _bars(explanation: Explanation) -> Iterator[str]:
    """The legend, two bars a slot, labels of some slots, and the beginnings of periods."""
    slots, names = explanation.slots, [each.candidate for each in explanation.candidates[:2]]
    for number, (name, colour) in enumerate(zip(names, _COLOURS, strict=False)):
        left = _LEFT + 180 * number
        yield f'<rect x="{left}" y="34" width="10" height="10" fill="{colour}"/>'
        yield _text(left + 16, 43, f"customer {name}", "start")
    step = (_WIDTH - _LEFT - _RIGHT) / len(slots)
    bottom = _HEIGHT - _BOTTOM
    for place, slot in enumerate(slots):
        at = shown_time(slot.from_ms, explanation.slot_ms)
        for number, (name, share, colour) in enumerate(zip(names, slot.shares, _COLOURS, strict=False)):
            tip = f"{at}: {share:.0%} of {slot.compared_times:,} with {name}"
            yield (
                f'<rect x="{_LEFT + (place + 0.1 + 0.4 * number) * step:.1f}" y="{bottom - _height(share):.1f}" '
                f'width="{0.4 * step:.1f}" height="{_height(share):.1f}" fill="{colour}">'
                f"<title>{_escaped(tip)}</title></rect>"
            )
        x = _LEFT + (place + 0.1) * step
        if place % -(-len(slots) // _MOST_LABELS) == 0 and x <= _WIDTH - _LABEL_WIDTH:
            yield _text(x, bottom + 16, at, "start")
    yield _text(_LEFT, _HEIGHT - 8, f"by {shown_width(explanation.slot_ms)} with readings (UTC)", "start")
    for period in explanation.periods:
        if period.from_ms is not None:
            before = sum(slot.from_ms + explanation.slot_ms <= period.from_ms for slot in slots)
            x = _LEFT + before * step
            yield f'<path d="M{x:.1f} {_TOP - 8}V{bottom}" stroke="#555" stroke-dasharray="4 3"/>'
            has_room = x <= _WIDTH - _LABEL_WIDTH
            yield _text(x + (4 if has_room else -4), _TOP - 2, f"period {period.period}", "start" if has_room else "end")
