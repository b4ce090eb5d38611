"""The typed program, printed as native code: loops that LLVM compiles, and products that NumPy's BLAS computes."""
