"""massieu: the thermodynamics of interacting matter by minimising a variational free energy.

Names are imported when first used (`__init__.pyi` lists them), so that `import massieu` costs nothing.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
