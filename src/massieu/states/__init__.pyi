from .density_matrix import DensityMatrix as DensityMatrix
from .fermion_flow import FermionFlow as FermionFlow
from .pair_flow import PairFlow as PairFlow
from .slater import Reference as Reference
