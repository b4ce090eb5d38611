"""Exchange of models with PyTorch and ONNX."""
