"""The step detector: trained on what the lakehouse holds, tried on people it has not seen, run on any phone's readings."""

import os

# onnxruntime reads it when it is imported. Nothing here reports to anybody, and where the home directory is
# read-only its telemetry prints a warning.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
