"""Features of motion, as an ONNX graph."""
