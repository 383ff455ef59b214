"""Families of states Psi_n, of which rho = sum_n p(n) |Psi_n><Psi_n| is made; Hamiltonians are not here.

Names are imported when first used (`__init__.pyi` lists them).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
