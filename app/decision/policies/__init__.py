"""Contact policies: what the promises of how often, when and whether to contact a customer block.

Rules of this package:

1.  `kinds` compiles a policy to a rule; `board` puts a flow's rules in their scopes; `assessment` is what
    they block for one customer. `suppressions` says what an outcome closes, for the fold to write.
2.  Everything is decided at publish time that can be; a request pays for the kinds that its flow has.
"""

from __future__ import annotations

from app.decision.policies.assessment import Assessment
from app.decision.policies.board import PolicyBoard
from app.decision.policies.budgets import bounds, budget_problems
from app.decision.policies.claims import Claim
from app.decision.policies.kinds import POLICY_KINDS, compile_policy
from app.decision.policies.suppressions import SuppressionIndex, index_suppressions, suppressions_for
from app.decision.policies.zones import find_zone

__all__ = [
    "POLICY_KINDS",
    "Assessment",
    "Claim",
    "PolicyBoard",
    "SuppressionIndex",
    "bounds",
    "budget_problems",
    "compile_policy",
    "find_zone",
    "index_suppressions",
    "suppressions_for",
]
