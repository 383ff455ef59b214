"""Densities p with direct samples and a tractable ln p: flowjax's AbstractDistribution, so flowjax's own serve too."""

from massieu.densities.blanket import BlanketMADE
from massieu.densities.boxed import BoxedDimer
from massieu.densities.central import CentralFlow
from massieu.densities.continuous import ContinuousFlow
from massieu.densities.crystal import CrystalFlow, HarmonicCrystal
from massieu.densities.diffusion_sampler import DiffusionSampler
from massieu.densities.ensembles import Gaussian, Ginibre, Hermite
from massieu.densities.equivariant import EquivariantFlow
from massieu.densities.lattice import GaussianField, LatticeFlow
from massieu.densities.made import MADE
from massieu.densities.molecule import InFrame, molecular_flow
from massieu.densities.neural_ode import Diffusion, MongeAmpereFlow, NeuralODE
from massieu.densities.neural_rg import NeuralRG
from massieu.densities.pixelcnn import PixelCNN
from massieu.densities.product import ProductSpins
from massieu.densities.recurrent import RNN
from massieu.densities.symmetric import Symmetrised, Translated, spin_flip, square_lattice
from massieu.densities.torus import CircularSpline
from massieu.densities.transformer import CausalTransformer
from massieu.densities.vectors import OnLattice, coupled_field, coupling, torus_symmetries

__all__ = [
    "MADE",
    "RNN",
    "BlanketMADE",
    "BoxedDimer",
    "CausalTransformer",
    "CentralFlow",
    "CircularSpline",
    "ContinuousFlow",
    "CrystalFlow",
    "Diffusion",
    "DiffusionSampler",
    "EquivariantFlow",
    "Gaussian",
    "GaussianField",
    "Ginibre",
    "HarmonicCrystal",
    "Hermite",
    "InFrame",
    "LatticeFlow",
    "MongeAmpereFlow",
    "NeuralODE",
    "NeuralRG",
    "OnLattice",
    "PixelCNN",
    "ProductSpins",
    "Symmetrised",
    "Translated",
    "coupled_field",
    "coupling",
    "molecular_flow",
    "spin_flip",
    "square_lattice",
    "torus_symmetries",
]
