"""Systems: a Hamiltonian, a temperature and what is known about them, one module each; how to train them is not here.

Names are imported when first used (`__init__.pyi` lists them); `table` is what the command line reads.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
