"""Distance readings as received from the step trainers."""

from stedi.model.feed import Feed, Field
from stedi.model.rules import Rule

FEED = Feed(
    name="step_trainer",
    folders=("step_trainer", "step_trainer_landing"),
    meaning="distance readings as received from the step trainers, of all devices",
    fields=(
        Field(
            "sensorReadingTime",
            "milliseconds",
            "time of the reading, on the device's clock (ms since the epoch, UTC)",
            required=True,
        ),
        Field(
            "serialNumber",
            "text",
            "serial number that the device itself reports; reliable",
            required=True,
            personal=True,
            identifies="device",
        ),
        Field("distanceFromObject", "number", "distance to the nearest object, in the device's unit", required=True),
    ),
    rules=(Rule("distance_not_negative", "warn", "distances are not negative", where="distanceFromObject < 0"),),
)
