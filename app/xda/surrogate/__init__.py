"""The surrogate: a Crammer-Singer support vector machine on frozen features, exact and certified.

:mod:`~xda.surrogate.objective` states the problem, :mod:`~xda.surrogate.solver` solves it,
:mod:`~xda.surrogate.certificate` certifies the solution, and :mod:`~xda.surrogate.estimator` is the scikit-learn
estimator.
"""

from xda.surrogate.certificate import Certificate, certify, slack
from xda.surrogate.estimator import CrammerSingerSVC
from xda.surrogate.solver import Solution, solve

__all__ = ["Certificate", "CrammerSingerSVC", "Solution", "certify", "slack", "solve"]
