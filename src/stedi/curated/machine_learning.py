"""Step-trainer readings beside the accelerometer readings of the same customer and moment."""

from stedi.curated.pseudonyms import KNOWN_PSEUDONYM
from stedi.identity import customer_pseudonym, device_pseudonym
from stedi.table import Column, Dimension, Fact, Scope, Table

TABLE = Table(
    name="machine_learning_curated",
    zone="curated",
    meaning="step-trainer readings with the same customer's accelerometer readings of the same moment, under pseudonyms",
    grain="one step-trainer reading × one accelerometer reading",
    key=("customer_pseudonym", "device_pseudonym", "timeStamp", "distanceFromObject", "x", "y", "z"),
    inputs=("step_trainer_trusted", "accelerometer_trusted", "customers_curated"),
    columns=(
        Column("customer_pseudonym", "string", "the customer, under a keyed pseudonym", required=True),
        Column("device_pseudonym", "string", "the step trainer, under a keyed pseudonym", required=True),
        Column("timeStamp", "long", "when both readings were taken (ms since the epoch, UTC)", required=True),
        Column("x", "double", "acceleration along the phone's x axis", required=True),
        Column("y", "double", "acceleration along the phone's y axis", required=True),
        Column("z", "double", "acceleration along the phone's z axis", required=True),
        Column(
            "distanceFromObject",
            "double",
            "distance of the object in front of the step trainer",
            required=True,
        ),
    ),
    person="customer_pseudonym",
    person_is_pseudonym=True,
    # Readings meet under numbers, which cost half of what addresses and pseudonyms cost.
    query=f"""
WITH customers AS (
    SELECT person, customer_pseudonym, row_number() OVER (ORDER BY customer_pseudonym) AS customer_number
    FROM customers_curated
),
devices AS (
    SELECT serialNumber, row_number() OVER (ORDER BY serialNumber) AS device_number,
        {device_pseudonym("serialNumber")} AS device_pseudonym
    FROM (SELECT DISTINCT serialNumber FROM step_trainer_trusted) AS serials
),
steps AS (
    SELECT c.customer_number, d.device_number, s.sensorReadingTime, s.distanceFromObject
    FROM step_trainer_trusted AS s
    JOIN customers AS c ON c.person = s.person
    JOIN devices AS d ON d.serialNumber = s.serialNumber
),
readings AS (
    SELECT c.customer_number, a.timeStamp, a.x, a.y, a.z
    FROM accelerometer_trusted AS a JOIN customers AS c ON c.person = a.person
)
SELECT c.customer_pseudonym, d.device_pseudonym, a.timeStamp, a.x, a.y, a.z, s.distanceFromObject, s.customer_number
FROM steps AS s
JOIN readings AS a ON a.customer_number = s.customer_number AND a.timeStamp = s.sensorReadingTime
JOIN customers AS c ON c.customer_number = s.customer_number
JOIN devices AS d ON d.device_number = s.device_number
""",
    rules=(KNOWN_PSEUDONYM,),
    day="timeStamp",
    sort=("customer_pseudonym", "timeStamp"),
    sort_by=("customer_number", "timeStamp"),
    parameters=("pseudonym_inner", "pseudonym_outer"),
    scope=Scope(
        "customer_pseudonym",
        {
            "step_trainer_trusted": Fact("person", "sensorReadingTime", spelling="person"),
            "accelerometer_trusted": Fact("person", "timeStamp", ("person", "timeStamp", "x", "y", "z"), spelling="person"),
            "customers_curated": Dimension("SELECT person AS k FROM {changed}", ("person", "customer_pseudonym")),
        },
        key=customer_pseudonym("k"),
    ),
)
