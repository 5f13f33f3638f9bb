"""Numerical kernels that variants call."""
