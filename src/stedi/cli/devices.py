"""The command that shows devices and their owners."""

from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stedi.cli.program import Call, app, as_utf8, command
from stedi.cli.sections import Result, Section, show, write_svg
from stedi.cli.text import counted
from stedi.errors import StediError, UsageError
from stedi.model.identity import identity_of, padded_keys

if TYPE_CHECKING:
    from stedi.query.devices import Explanation, Summary

_BAR_WIDTH = 20


@command(app, "Look at tables")
def devices(
    call: Call,
    serial: Annotated[
        str | None,
        typer.Argument(metavar="SERIAL", help="serial number of a device, in any spelling (default: count all devices)"),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="also write a picture: the counts, or a device's coincidences over time")
    ] = None,
) -> None:
    """Count devices by the status of their owner, or show the evidence for the owner of one device.

    Customers are shown by the first digits of their pseudonym.

    Example: stedi devices SERIAL --svg device.svg
    """
    if serial is None:
        _show_summary(call, svg)
    else:
        device = identity_of("device", as_utf8("the serial number", serial))
        if device is None:
            raise UsageError("the serial number is blank; give one, or leave it out to count all devices")
        _show_device(call, device, svg)


def _show_summary(call: Call, svg: Path | None) -> None:
    from stedi.query.devices import summarise
    from stedi.query.sandbox import open_run

    session, run = open_run(call.settings())
    summary = summarise(session, run.settings.owners_confidence)
    json = asdict(summary)
    json["sole_claims"]["share"] = summary.sole_claims.share
    show(Result(_summary_sections(summary), json), as_json=call.as_json, svg=svg, title="stedi devices")


def _show_device(call: Call, device: str, svg: Path | None) -> None:
    from stedi.pipeline import pseudonym_key
    from stedi.query.device_picture import picture
    from stedi.query.device_text import format_serial
    from stedi.query.devices import explain
    from stedi.query.sandbox import open_run

    settings = call.settings()
    session, _ = open_run(settings)
    explanation = explain(session, device, padded_keys(pseudonym_key(settings, create=False)))
    if explanation is None:
        raise StediError(
            f"no device has the serial number {format_serial(device)!r}; check it, or start `stedi run` if its files are new"
        )
    if svg is not None:
        write_svg(picture(explanation), svg)
    show(Result(_device_sections(explanation), _device_json(explanation)), as_json=call.as_json)


def _summary_sections(summary: "Summary") -> list[Section]:
    columns = ("status", *(field.name.replace("_", " ") for field in fields(summary.statuses[0])[1:]))
    claims = summary.sole_claims
    headings = ("devices with one claimant", "decided periods", "owner is the claimant", "share")
    share = "" if claims.share is None else f"{claims.share:.1%}"
    return [
        Section("devices by status", columns, [astuple(status) for status in summary.statuses], columns[1:]),
        Section(
            f"sole claims compared with owners by reading times (confidence of at least {claims.confidence:g})",
            headings,
            [(claims.devices, claims.periods, claims.agree, share)],
            headings,
        ),
    ]


def _device_sections(explanation: "Explanation") -> list[Section]:
    periods = _periods_section(explanation)
    if (sentence := explanation.empty_reason) is not None:
        return [periods, Section("", (), (), empty=sentence)]
    return [periods, _candidates_section(explanation), _slots_section(explanation)]


def _periods_section(explanation: "Explanation") -> Section:
    from stedi.query.device_text import format_serial, format_time

    numbers = ("period", "confidence", "readings", "coincidences", "of compared", "runner-up", "clock ahead (ms)")
    claimants = counted(explanation.claimants, "claimant")
    rows = [
        (
            period.period,
            period.from_ms,
            period.to_ms,
            period.owner,
            period.status,
            period.confidence,
            period.reading_times,
            period.coincidences,
            period.compared_times,
            period.runner_up_coincidences,
            None if period.offset_ms is None else f"{period.offset_ms:,g} ± {period.offset_uncertainty_ms or 0:,g}",
        )
        for period in explanation.periods
    ]
    return Section(
        f"device {format_serial(explanation.serial)}: {claimants}; periods on its own clock (UTC)",
        ("period", "from", "to", "owner", "status", *numbers[1:]),
        rows,
        numbers,
        show={"from": format_time, "to": format_time},
    )


def _candidates_section(explanation: "Explanation") -> Section:
    numbers = ("hours", "coincidences", "of compared", "clock ahead (ms)")
    rows = [
        (
            candidate.candidate,
            candidate.hours,
            candidate.coincidences,
            candidate.compared_times,
            None
            if candidate.lowest_offset_ms is None
            else f"{candidate.lowest_offset_ms:,g} to {candidate.highest_offset_ms:,g}",
        )
        for candidate in explanation.candidates
    ]
    return Section("candidates, by coincidences", ("customer", *numbers), rows, numbers)


def _slots_section(explanation: "Explanation") -> Section:
    from stedi.query.device_text import format_slot_width, format_time

    names = [candidate.candidate for candidate in explanation.candidates[:2]]
    rows = [
        (
            format_time(slot.from_ms, explanation.slot_ms),
            slot.reading_times,
            *(_bar(share) if slot.compared_times else "not compared" for share in slot.shares[: len(names)]),
        )
        for slot in explanation.slots
    ]
    return Section(
        f"share of the compared reading times that coincide, by {format_slot_width(explanation.slot_ms)}",
        ("from (UTC)", "readings", *names),
        rows,
        ("readings",),
    )


def _bar(share: float) -> str:
    filled = round(min(share, 1) * _BAR_WIDTH)
    return f"{'█' * filled}{'·' * (_BAR_WIDTH - filled)} {share:>4.0%}"


def _device_json(explanation: "Explanation") -> dict[str, Any]:
    described = asdict(explanation)
    return {"serialNumber": described.pop("serial"), **described}
