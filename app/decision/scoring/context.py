"""What scoring one request knows, and what it finds out on the way."""

from __future__ import annotations

from collections.abc import Callable

from app.decision.candidate import Candidate
from app.decision.conditions import Environment, field_reader
from app.decision.shared import Shared


class ScoringContext:
    """One request's view for scoring.

    `asked` collects the models that were asked, with whether they failed or overran; `degraded` says whether
    any score lacks what its method asks for.
    """

    __slots__ = ("asked", "degraded", "environment_of", "probe", "salt", "shared")

    def __init__(
        self,
        environment_of: Callable[[Candidate], Environment],
        shared: Shared,
        salt: str,
        probe: Callable[[], float],
    ) -> None:
        #: The environment with one candidate's `offer` in it.
        self.environment_of = environment_of
        self.shared = shared
        self.salt = salt
        self.probe = probe
        self.asked: dict[str, bool] = {}
        self.degraded = False

    def note_model(self, model_id: str, *, failed: bool) -> None:
        """A model was asked."""
        self.asked[model_id] = failed
        self.degraded = self.degraded or failed

    def row(self, candidate: Candidate) -> Callable[[str], object]:
        """The candidate's fields by full name, as models ask for them."""
        environment = self.environment_of(candidate)

        def read(field: str) -> object:
            try:
                return field_reader(field)(environment)
            except KeyError:  # a namespace that decisions do not have
                return None

        return read
