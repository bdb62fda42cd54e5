"""Resampling of readings to 50 Hz, in SQL: the same for both engines, for training and for detection.

Sums of doubles depend on the order of addition, which differs between engines and runs. Tables must equal their rebuild to
the last digit, so readings are summed as integers, in millionths.
"""

RATE_HZ = 50
SAMPLE_MS = 1000 // RATE_HZ
# Longest gap that is interpolated. A phone that reports 15 times a second and loses four readings in a row leaves 333 ms.
# Interpolation costs the step detector less than a gap: with 0.3 s missing of every 2 s of real walking, F1 at ±0.1 s falls
# from 0.93 to 0.90 with interpolation and to 0.80 with gaps. With 0.4 s missing, it falls to 0.88 and to 0.76.
MAX_GAP_MS = 400
# Largest absolute value of an axis. Phones stay below it in any unit (16 g are 16,000 mg), and sums fit 64 bits.
MAX_VALUE = "1e6"
_MILLIONTHS = "1e6"


def resample_sql(source: str, person: str) -> str:
    """Return SQL for the samples of a relation's readings.

    Readings in the same 20 ms are averaged, and so are their times. This merges readings of the same time and reduces
    aliasing. Samples are interpolated linearly between averages at most 400 ms apart, and rounded to six decimals.

    Args:
        source: relation with the columns `person`, t (ms since the epoch), x, y and z (double). Rows are left out if an
            axis is null or its absolute value is above one million.
        person: name of the column that groups readings.

    Returns:
        Query with the columns `person`, at_ms (a multiple of 20 ms since the epoch), x, y and z.
    """
    averages = ", ".join(f"sum(floor({v} * {_MILLIONTHS} + 0.5)::BIGINT)::DOUBLE / count(*) AS {v}" for v in "xyz")
    in_range = " AND ".join(f"abs({v}) <= {MAX_VALUE}" for v in "xyz")
    following = ", ".join(f"lead({v}) OVER in_time AS next_{v}" for v in ("bin_ms", "offset_ms", *"xyz"))
    interpolated = ", ".join(
        f"floor({v} + (next_{v} - {v}) * ((at_ms - bin_ms) - offset_ms) / span_ms + 0.5) / {_MILLIONTHS} AS {v}"
        for v in "xyz"
    )
    return f"""
-- The average reading of each 20 ms, at bin_ms + offset_ms.
WITH bins AS (
    SELECT {person}, bin_ms, sum(t - bin_ms)::DOUBLE / count(*) AS offset_ms, {averages}
    FROM (
        SELECT *, t - (t % {SAMPLE_MS} + {SAMPLE_MS}) % {SAMPLE_MS} AS bin_ms FROM {source} WHERE {in_range}
    ) AS readings_in_bins
    GROUP BY {person}, bin_ms
),
bins_with_next AS (
    SELECT *, {following} FROM bins
    WINDOW in_time AS (PARTITION BY {person} ORDER BY bin_ms)
),
-- The grid points between each average and the next.
spans AS (
    SELECT *,
        (next_bin_ms - bin_ms) + (next_offset_ms - offset_ms) AS span_ms,
        CASE WHEN offset_ms > 0 THEN bin_ms + {SAMPLE_MS} ELSE bin_ms END AS first_ms,
        CASE WHEN next_offset_ms > 0 THEN next_bin_ms ELSE next_bin_ms - {SAMPLE_MS} END AS last_ms
    FROM bins_with_next
),
grid AS (
    SELECT *, unnest(generate_series(first_ms, last_ms, {SAMPLE_MS})) AS at_ms
    FROM spans WHERE span_ms <= {MAX_GAP_MS} AND first_ms <= last_ms
)
SELECT {person}, at_ms, {interpolated} FROM grid
"""
