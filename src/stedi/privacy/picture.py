"""Draw a person's timeline as SVG: consent by purpose, the hold, readings per month, and the person's devices."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby

from stedi.privacy.report import PersonReport
from stedi.query.device_text import DAY_MS, format_serial, format_time
from stedi.query.svg import document, rectangle, text

# Size of the picture and its parts, in SVG units.
_WIDTH, _LEFT, _RIGHT, _TOP = 960, 170, 20, 40
_ROW, _BAR, _CHART, _GAP, _BOTTOM = 24, 14, 80, 24, 36
_CONSENT, _HOLD, _DEVICE, _PHONE_READINGS, _DEVICE_READINGS = "#2c7bb6", "#d7191c", "#6a51a3", "#fdae61", "#6a51a3"
_MAX_LABELS = 8
_LABEL_LENGTH = 13
# Narrower bars are hard to see.
_MIN_BAR_WIDTH = 3
# More rows make the picture longer than a page. The command's other output has all devices.
_MAX_DEVICE_ROWS = 20


@dataclass(frozen=True)
class _Bar:
    """A bar in a row: open ends reach the picture's edge."""

    from_ms: int | None
    to_ms: int | None
    colour: str
    tooltip: str


@dataclass(frozen=True)
class _Scale:
    """The times at the left and right edge (ms since the epoch)."""

    from_ms: int
    to_ms: int

    def x(self, time_ms: int | None, edge_ms: int) -> float:
        """The x coordinate of a time, or of an edge if there is none."""
        time_ms = min(max(edge_ms if time_ms is None else time_ms, self.from_ms), self.to_ms)
        return _LEFT + (time_ms - self.from_ms) / (self.to_ms - self.from_ms) * (_WIDTH - _LEFT - _RIGHT)


def picture(report: PersonReport) -> str:
    """Draw the timeline of a person. The pseudonym's start stands for the person.

    Returns:
        The text of the SVG document.
    """
    scale = _scale(report)
    consent_rows, device_rows = list(_consent_rows(report)), list(_device_rows(report))
    chart_y = _TOP + len(consent_rows) * _ROW + _GAP
    devices_y = chart_y + _CHART + _GAP
    axis_y = devices_y + len(device_rows) * _ROW + _GAP / 2
    heading = f"customer {report.pseudonym}: consent, readings and devices until {report.finished_at[:10]}"
    parts = (
        text(20, 22, heading),
        *_axis(scale, axis_y),
        *(part for n, row in enumerate(consent_rows) for part in _row(scale, _TOP + n * _ROW, *row)),
        *_chart(report, scale, chart_y),
        *(part for n, row in enumerate(device_rows) for part in _row(scale, devices_y + n * _ROW, *row)),
    )
    return document(_WIDTH, round(axis_y + _BOTTOM), heading, parts)


def _milliseconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp() * 1000)


def _month_end(month_ms: int) -> int:
    """The start of the next month."""
    later = datetime.fromtimestamp(month_ms / 1000, UTC) + timedelta(days=32)
    return int(later.replace(day=1).timestamp() * 1000)


def _scale(report: PersonReport) -> _Scale:
    """The span of all times of a person, until the newest run; at least a day."""
    times = [_milliseconds(report.finished_at)]
    times += [time for time in (report.consent.first_change_ms, report.consent.last_change_ms) if time is not None]
    times += [hold.held_since_ms for hold in report.holds]
    times += [time for month in report.readings for time in (month.month_ms, _month_end(month.month_ms))]
    spans: list[tuple[int | None, int | None]] = [
        (interval.from_ms, interval.to_ms) for purpose in report.consent.purposes for interval in purpose.intervals
    ]
    spans += [(device.from_ms, device.to_ms) for device in report.devices]
    times += [time for span in spans for time in span if time is not None]
    return _Scale(min(times), max(max(times), min(times) + DAY_MS))


def _consent_rows(report: PersonReport) -> Iterator[tuple[str, list[_Bar]]]:
    for purpose in report.consent.purposes:
        bars = [
            _Bar(
                interval.from_ms,
                interval.to_ms,
                _CONSENT,
                f"{purpose.purpose}: from {format_time(interval.from_ms)} "
                + ("on" if interval.to_ms is None else f"to {format_time(interval.to_ms)}"),
            )
            for interval in purpose.intervals
        ]
        yield f"consent: {purpose.purpose}", bars
    held = [(hold.held_since_ms, hold.reason) for hold in report.holds]
    yield "on hold", [_Bar(since, None, _HOLD, f"on hold since {format_time(since)}: {reason}") for since, reason in held]


def _device_rows(report: PersonReport) -> Iterator[tuple[str, list[_Bar]]]:
    """One row for each device, with a bar for each period."""
    by_serial = [(serial, list(periods)) for serial, periods in groupby(report.devices, key=lambda device: device.serial)]
    for serial, periods in by_serial[:_MAX_DEVICE_ROWS]:
        label = serial if len(serial) <= _LABEL_LENGTH else f"{serial[:_LABEL_LENGTH]}…"
        tooltip = f"device {format_serial(serial)}"
        yield (
            f"device: {label}",
            [_Bar(d.from_ms, d.to_ms, _DEVICE, f"{tooltip}: {d.status}, {d.why}") for d in periods],
        )
    if (more := len(by_serial) - _MAX_DEVICE_ROWS) > 0:
        yield f"and {more:,} more devices", []


def _row(scale: _Scale, y: float, label: str, bars: list[_Bar]) -> Iterator[str]:
    yield text(_LEFT - 8, y + _BAR - 3, label, "end")
    yield f'<path d="M{_LEFT} {y + _BAR / 2:g}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
    for bar in bars:
        left, right = scale.x(bar.from_ms, scale.from_ms), scale.x(bar.to_ms, scale.to_ms)
        width = max(right - left, _MIN_BAR_WIDTH)
        yield rectangle(min(left, _WIDTH - _RIGHT - width), y, width, _BAR, bar.colour, bar.tooltip)


def _chart(report: PersonReport, scale: _Scale, y: float) -> Iterator[str]:
    """Draw the readings per month: of the phone, and beside them those of the devices."""
    most = max((max(month.phone, month.device) for month in report.readings), default=0)
    yield text(_LEFT - 8, y + 12, "readings per month", "end")
    yield text(_LEFT - 8, y + 28, f"(at most {most:,})", "end")
    for n, (colour, name) in enumerate(((_PHONE_READINGS, "phone"), (_DEVICE_READINGS, "device"))):
        yield f'<rect x="20" y="{y + 38 + 16 * n:g}" width="10" height="10" fill="{colour}"/>'
        yield text(36, y + 47 + 16 * n, name)
    yield f'<path d="M{_LEFT} {y + _CHART:g}H{_WIDTH - _RIGHT}" stroke="#555"/>'
    for month in report.readings:
        left, right = (scale.x(time, time) for time in (month.month_ms, _month_end(month.month_ms)))
        width = max(0.45 * (right - left), 0.5)
        start = format_time(month.month_ms)[:7]
        sensors = ((month.phone, "phone", _PHONE_READINGS), (month.device, "device", _DEVICE_READINGS))
        for n, (readings, name, colour) in enumerate(sensors):
            if readings:
                height = max(readings / most * _CHART, 0.5)
                tooltip = f"{start}: {readings:,} readings of the {name}"
                yield rectangle(left + n * width, y + _CHART - height, width, height, colour, tooltip)


def _axis(scale: _Scale, y: float) -> Iterator[str]:
    """Draw the times at equal distances."""
    for n in range(_MAX_LABELS):
        time_ms = scale.from_ms + n * (scale.to_ms - scale.from_ms) // (_MAX_LABELS - 1)
        x = scale.x(time_ms, time_ms)
        yield f'<path d="M{x:.1f} {_TOP}V{y:g}" stroke="#eee"/>'
        yield text(round(x, 1), y + 16, format_time(time_ms, DAY_MS), "end" if n == _MAX_LABELS - 1 else "middle")
