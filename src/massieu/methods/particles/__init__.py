"""Quantum particles in a box or a trap: density matrices of electrons; protons are not here."""
