"""Accelerometer readings as received from the phone app."""

from stedi.model.feed import Feed, Field

FEED = Feed(
    name="accelerometer",
    folders=("accelerometer", "accelerometer_landing"),
    meaning="accelerometer readings as received from the phone app, of all customers",
    fields=(
        Field("user", "text", "e-mail address of the customer", required=True, personal=True, identifies="person"),
        Field(
            "timeStamp", "milliseconds", "time of the reading, on the phone's clock (ms since the epoch, UTC)", required=True
        ),
        Field("x", "number", "acceleration along the phone's x axis, in the phone's unit", required=True),
        Field("y", "number", "acceleration along the phone's y axis, in the phone's unit", required=True),
        Field("z", "number", "acceleration along the phone's z axis, in the phone's unit", required=True),
    ),
)
