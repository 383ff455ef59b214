"""What is measured on samples: n(k), m*, Landau's functional, equation of state; estimators of F are not here."""
