"""Step detector: training, evaluation on held-out people, detection in the readings of any phone."""

import os

# onnxruntime reads this on import. It disables the telemetry, which also prints a warning if the home directory is
# read-only.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
