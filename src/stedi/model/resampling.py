"""Readings that come when they come, as samples at a steady rate: the same for training and for detection.

All of it is SQL, so that both engines and the detector do the same. Sums of doubles depend on the
order in which an engine adds them, and a table that differs in the last digit from its rebuild is
a wrong table. So readings are added up as whole millionths, which come to the same in any order.
"""

RATE_HZ = 50
SAMPLE_MS = 1000 // RATE_HZ
# A phone that reports 15 times a second and loses four readings in a row leaves 333 ms. What lies between is drawn
# as a line, as a break costs more: with 0.3 s missing of every 2 s of real walking, F1 at ±0.1 s falls
# from 0.93 to 0.90 with lines and to 0.80 with breaks; with 0.4 s missing, to 0.88 and to 0.76.
GAP_MS = 400
# No unit in which phones report reaches a million (16 g are 16,000 mg), and sums of less fit 64 bits.
MOST = "1e6"
_MILLIONTHS = "1e6"


def resampled(source: str, who: str) -> str:
    """SQL for samples (who, at_ms, x, y, z) on the grid of whole 20 ms since the epoch.

    Readings that fall into one step of the grid are averaged, their times too: this merges readings
    of one moment, keeps what is faster than the grid can show from passing for something slower,
    and leaves the readings of slower phones alone. Samples lie on the line between neighbours
    that are at most 400 ms apart. Values are rounded to six decimals.

    Args:
        source: a relation with the columns `who`, t (ms since the epoch), x, y and z (doubles);
            rows that lack an axis or exceed a million in one are left out.
        who: name of the column that tells whose readings belong together.
    """
    averages = ", ".join(f"sum(floor({v} * {_MILLIONTHS} + 0.5)::BIGINT)::DOUBLE / count(*) AS {v}" for v in "xyz")
    measured = " AND ".join(f"abs({v}) <= {MOST}" for v in "xyz")
    following = ", ".join(f"lead({v}) OVER sequence AS next_{v}" for v in ("bin_ms", "late_ms", *"xyz"))
    lines = ", ".join(
        f"floor({v} + (next_{v} - {v}) * ((at_ms - bin_ms) - late_ms) / span_ms + 0.5) / {_MILLIONTHS} AS {v}" for v in "xyz"
    )
    return f"""
WITH binned AS (
    SELECT {who}, bin_ms, sum(t - bin_ms)::DOUBLE / count(*) AS late_ms, {averages}
    FROM (
        SELECT *, t - (t % {SAMPLE_MS} + {SAMPLE_MS}) % {SAMPLE_MS} AS bin_ms FROM {source} WHERE {measured}
    ) AS placed
    GROUP BY {who}, bin_ms
),
paired AS (
    SELECT *, {following} FROM binned
    WINDOW sequence AS (PARTITION BY {who} ORDER BY bin_ms)
),
spans AS (
    SELECT *,
        (next_bin_ms - bin_ms) + (next_late_ms - late_ms) AS span_ms,
        CASE WHEN late_ms > 0 THEN bin_ms + {SAMPLE_MS} ELSE bin_ms END AS first_ms,
        CASE WHEN next_late_ms > 0 THEN next_bin_ms ELSE next_bin_ms - {SAMPLE_MS} END AS last_ms
    FROM paired
),
points AS (
    SELECT *, unnest(generate_series(first_ms, last_ms, {SAMPLE_MS})) AS at_ms
    FROM spans WHERE span_ms <= {GAP_MS} AND first_ms <= last_ms
)
SELECT {who}, at_ms, {lines} FROM points
"""
