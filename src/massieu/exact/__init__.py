"""Independent answers: enumeration, diagonalisation, transfer matrices, path integrals; nothing here is trained."""
