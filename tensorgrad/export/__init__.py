"""Export: what a function of Tensors computes, as a graph of ONNX."""

from .model import onnx_model as onnx_model
