"""Float32's matrix products out of bfloat16's, in C++ for CPUs with AMX: what ``--precision bf16x6`` multiplies with.

It is compiled when it is first asked for, so that nobody else needs a compiler. ``products.cc`` says how it keeps
float32's accuracy.
"""

from surefoot.networks.amx.library import load
from surefoot.networks.amx.product import product

__all__ = ["load", "product"]
