"""The surrogate: a Crammer-Singer support vector machine on frozen features, exact and certified.

The problem is in :mod:`~xda.surrogate.objective`, how it is solved in :mod:`~xda.surrogate.solver`, how well in
:mod:`~xda.surrogate.certificate`, and the scikit-learn face in :mod:`~xda.surrogate.estimator`.
"""

from xda.surrogate.certificate import Certificate, certify, slack
from xda.surrogate.estimator import CrammerSingerSVC
from xda.surrogate.solver import Solution, solve

__all__ = ["Certificate", "CrammerSingerSVC", "Solution", "certify", "slack", "solve"]
