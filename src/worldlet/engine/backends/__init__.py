"""How a frame is computed: one protocol (``base``), ONNX Runtime (``onnx``), and torch for comparison (``torch``)."""
