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
            "when the reading was taken (ms since the epoch, UTC)",
            required=True,
        ),
        Field(
            "serialNumber",
            "text",
            "serial number that the device reports, which is right",
            required=True,
            personal=True,
            identifies="device",
        ),
        Field("distanceFromObject", "number", "distance of the object in front of the sensor", required=True),
    ),
    rules=(Rule("distance_not_negative", "warn", "a distance can't be below zero", where="distanceFromObject < 0"),),
)
