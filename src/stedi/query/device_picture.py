"""Draw as SVG how many of a device's reading times coincide with its candidates' phones, over time."""

from collections.abc import Iterator

from stedi.query.device_text import format_serial, format_slot_width, format_time
from stedi.query.devices import Explanation
from stedi.query.svg import document, rectangle, text

# Size of the picture and its margins around the bars, in SVG units.
_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 20, 64, 44
_COLOURS = ("#2c7bb6", "#d7191c")
_MAX_LABELS = 8
_LABEL_WIDTH = 112


def picture(explanation: Explanation) -> str:
    """Draw the shares of reading times that coincide with the first two candidates: two bars per slot.

    Dashed lines mark the starts of periods. If there are no bars, the picture contains the reason.

    Returns:
        The text of the SVG document.
    """
    heading = f"device {format_serial(explanation.serial)}: reading times that coincide with a phone's"
    reason = explanation.empty_reason
    parts = [text(_WIDTH / 2, _HEIGHT / 2, reason, "middle")] if reason else [*_axes(), *_legend(explanation)]
    if not reason:
        parts += [*_bars(explanation), *_slot_labels(explanation), *_period_starts(explanation)]
    return document(_WIDTH, _HEIGHT, heading, (text(_LEFT, 22, heading), *parts))


def _height(share: float) -> float:
    """Return the height of the bar of a share."""
    return min(share, 1) * (_HEIGHT - _TOP - _BOTTOM)


def _axes() -> Iterator[str]:
    for share in (0, 0.5, 1):
        y = _HEIGHT - _BOTTOM - _height(share)
        yield f'<path d="M{_LEFT} {y:g}H{_WIDTH - _RIGHT}" stroke="#ccc"/>'
        yield text(_LEFT - 6, y + 4, f"{share:.0%}", "end")


def _candidates(explanation: Explanation) -> list[str]:
    return [candidate.candidate for candidate in explanation.candidates[:2]]


def _slot_x(explanation: Explanation, position: float) -> float:
    """Return the x coordinate of a position in slots: 0 is the start of the first slot."""
    return _LEFT + position * (_WIDTH - _LEFT - _RIGHT) / len(explanation.slots)


def _legend(explanation: Explanation) -> Iterator[str]:
    for number, (candidate, colour) in enumerate(zip(_candidates(explanation), _COLOURS, strict=False)):
        left = _LEFT + 180 * number
        yield f'<rect x="{left}" y="34" width="10" height="10" fill="{colour}"/>'
        yield text(left + 16, 43, f"customer {candidate}", "start")


def _bars(explanation: Explanation) -> Iterator[str]:
    width = 0.4 * (_slot_x(explanation, 1) - _LEFT)
    for position, slot in enumerate(explanation.slots):
        start = format_time(slot.from_ms, explanation.slot_ms)
        for number, (candidate, share, colour) in enumerate(
            zip(_candidates(explanation), slot.shares, _COLOURS, strict=False)
        ):
            tooltip = f"{start}: {share:.0%} of {slot.compared_times:,} with {candidate}"
            x = _slot_x(explanation, position + 0.1 + 0.4 * number)
            yield rectangle(x, _HEIGHT - _BOTTOM - _height(share), width, _height(share), colour, tooltip)


def _slot_labels(explanation: Explanation) -> Iterator[str]:
    every = -(-len(explanation.slots) // _MAX_LABELS)
    for position, slot in enumerate(explanation.slots):
        x = _slot_x(explanation, position + 0.1)
        if position % every == 0 and x <= _WIDTH - _LABEL_WIDTH:
            yield text(x, _HEIGHT - _BOTTOM + 16, format_time(slot.from_ms, explanation.slot_ms), "start")
    yield text(_LEFT, _HEIGHT - 8, f"by {format_slot_width(explanation.slot_ms)} with readings (UTC)", "start")


def _period_starts(explanation: Explanation) -> Iterator[str]:
    for period in explanation.periods:
        if period.from_ms is not None:
            slots_before = sum(slot.from_ms + explanation.slot_ms <= period.from_ms for slot in explanation.slots)
            x = _slot_x(explanation, slots_before)
            yield f'<path d="M{x:.1f} {_TOP - 8}V{_HEIGHT - _BOTTOM}" stroke="#555" stroke-dasharray="4 3"/>'
            has_room = x <= _WIDTH - _LABEL_WIDTH
            yield text(x + (4 if has_room else -4), _TOP - 2, f"period {period.period}", "start" if has_room else "end")
