"""Densities p with direct samples and a tractable ln p: flowjax's AbstractDistribution, so flowjax's own serve too.

Hamiltonians and training are not here.  Names are imported when first used (`__init__.pyi` lists them).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
