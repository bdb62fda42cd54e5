"""The command that says whose the devices are, and why."""

from collections.abc import Iterator
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table as Grid

from stedi.cli import render
from stedi.cli.program import OPTIONS, app, as_utf8, show_grids
from stedi.errors import StediError, UsageError
from stedi.model.identity import identity_of, padded_keys

if TYPE_CHECKING:
    from stedi.query.devices import Explanation, Summary

_BAR = 20


@app.command()
def devices(
    serial: Annotated[
        str | None, typer.Argument(metavar="SERIAL", help="serial number of a device, in any spelling; all when absent")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="also write a picture: the counts, or a device's coincidences over time")
    ] = None,
) -> None:
    """Count devices by how well their owner is known, or show why one device has its owner.

    Customers are shown as the start of their pseudonym.

    Example: `stedi devices SERIAL --svg device.svg`
    """
    if serial is None:
        _show_summary(svg)
    else:
        device = identity_of("device", as_utf8("the serial number", serial))
        if device is None:
            raise UsageError("the serial number is blank; give one, or none for a summary of all devices")
        _show_device(device, svg)


def _show_summary(svg: Path | None) -> None:
    from stedi.query.devices import summarise
    from stedi.query.sandbox import open_run

    session, run = open_run(OPTIONS.settings)
    summary = summarise(session, run.settings.owners_confidence)
    as_json = asdict(summary)
    as_json["sole_claims"]["share"] = summary.sole_claims.share
    show_grids(_summary_grids(summary), as_json, svg, "stedi devices")


def _show_device(device: str, svg: Path | None) -> None:
    from stedi.pipeline import pseudonym_key
    from stedi.query.device_picture import picture
    from stedi.query.device_text import format_serial
    from stedi.query.devices import explain
    from stedi.query.sandbox import open_run

    session, _ = open_run(OPTIONS.settings)
    explanation = explain(session, device, padded_keys(pseudonym_key(OPTIONS.settings, create=False)))
    if explanation is None:
        raise StediError(
            f"no device has the serial number {format_serial(device)!r}; check it, or start `stedi run` if its files are new"
        )
    if svg is not None:
        render.write_svg(picture(explanation), svg)
    show_grids(list(_device_grids(explanation)), _device_json(explanation))


def _summary_grids(summary: "Summary") -> list[Grid]:
    columns = ("status", *(field.name.replace("_", " ") for field in fields(summary.statuses[0])[1:]))
    sole = summary.sole_claims
    decided = ("devices with one claimant", "periods that decide", "agree with the claim", "share")
    return [
        render.grid("devices by status", columns, map(astuple, summary.statuses), numbers=columns[1:]),
        render.grid(
            f"sole claims against reading times that decide (confidence from {sole.confidence:g})",
            decided,
            [(sole.devices, sole.periods, sole.agree, "" if sole.share is None else f"{sole.share:.1%}")],
            numbers=decided,
        ),
    ]


def _device_grids(explanation: "Explanation") -> Iterator[Grid]:
    from stedi.query.device_text import format_serial, format_slot_width, format_time

    period_numbers = ("period", "confidence", "readings", "coincidences", "of compared", "runner-up", "clock ahead (ms)")
    claimants = f"{explanation.claimants:,} claimant{'s' * (explanation.claimants != 1)}"
    yield render.grid(
        f"device {format_serial(explanation.serial)}: {claimants}; periods on its own clock (UTC)",
        ("period", "from", "to", "owner", "status", *period_numbers[1:]),
        (
            (
                each.period,
                None if each.from_ms is None else format_time(each.from_ms),
                None if each.to_ms is None else format_time(each.to_ms),
                each.owner,
                each.status,
                each.confidence,
                each.reading_times,
                each.coincidences,
                each.compared_times,
                each.runner_up_coincidences,
                None if each.offset_ms is None else f"{each.offset_ms:,g} ± {each.offset_uncertainty_ms or 0:,g}",
            )
            for each in explanation.periods
        ),
        numbers=period_numbers,
    )
    if (sentence := explanation.empty_reason) is not None:
        yield render.grid("candidates", ("",), [(sentence,)])
        return
    numbers = ("hours", "coincidences", "of compared", "clock ahead (ms)")
    yield render.grid(
        "candidates, by coincidences",
        ("customer", *numbers),
        (
            (
                each.candidate,
                each.hours,
                each.coincidences,
                each.compared_times,
                None if each.lowest_offset_ms is None else f"{each.lowest_offset_ms:,g} to {each.highest_offset_ms:,g}",
            )
            for each in explanation.candidates
        ),
        numbers=numbers,
    )
    names = [each.candidate for each in explanation.candidates[:2]]
    yield render.grid(
        f"share of the compared reading times that coincide, by {format_slot_width(explanation.slot_ms)}",
        ("from (UTC)", "readings", *names),
        (
            (
                format_time(slot.from_ms, explanation.slot_ms),
                slot.reading_times,
                *(_bar(share) if slot.compared_times else "not compared" for share in slot.shares[: len(names)]),
            )
            for slot in explanation.slots
        ),
        numbers=("readings",),
    )


def _bar(share: float) -> str:
    filled = round(min(share, 1) * _BAR)
    return f"{'█' * filled}{'·' * (_BAR - filled)} {share:>4.0%}"


def _device_json(explanation: "Explanation") -> dict[str, Any]:
    described = asdict(explanation)
    return {"serialNumber": described.pop("serial"), **described}
