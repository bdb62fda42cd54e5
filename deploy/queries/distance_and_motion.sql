-- mean acceleration of the phone by distance from the step trainer, in steps of 10
SELECT
  FLOOR(CAST("distancefromobject" AS DOUBLE) / 10) * 10 AS "distance_from",
  COUNT(*) AS "pairs",
  AVG(SQRT("x" * "x" + "y" * "y" + "z" * "z")) AS "mean_acceleration"
FROM "machine_learning_curated"
GROUP BY
  1
ORDER BY
  1;
