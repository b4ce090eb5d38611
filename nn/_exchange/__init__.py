"""Exchanging models with PyTorch and ONNX."""
