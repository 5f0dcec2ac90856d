"""Other sizes of a spec: what scales, how far for a budget, and what a scaling law says of it.

    tree --rules--> Plan --search--> Candidate --writing--> an entry of `sizes`
                              laws, series, plot

Counts are those of the graph of each candidate, never of a formula.
"""

from .laws import LAWS, Law
from .rules import Factors, Plan, plan_of
from .search import Candidate, ScalingError, scaled, sized_to

__all__ = [
    "LAWS",
    "Candidate",
    "Factors",
    "Law",
    "Plan",
    "ScalingError",
    "plan_of",
    "scaled",
    "sized_to",
]
