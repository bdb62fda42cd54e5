"""The detector: fitting, peak picking, export to ONNX and inference."""
