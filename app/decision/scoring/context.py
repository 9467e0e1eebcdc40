"""What scoring one request knows, and what it finds out on the way."""

from __future__ import annotations

from collections.abc import Callable

from app.decision.candidate import Candidate
from app.decision.conditions import Environment, field_reader
from app.decision.shared import Shared


class ScoringContext:
    """One request's view for scoring.

    `asked` collects the models that were asked, with whether they ever failed or overran; `degraded` says
    whether any score lacks what its method asks for.
    """

    __slots__ = ("_said", "_spent_ms", "asked", "degraded", "environment_of", "probe", "salt", "shared")

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
        self._said: dict[str, dict[str, float | None]] = {}
        self._spent_ms: dict[str, float] = {}

    def said(self, model_id: str) -> dict[str, float | None]:
        """What a model has said in this request, by offer id, to read and to add to."""
        return self._said.setdefault(model_id, {})

    def spend(self, model_id: str, ms: float) -> float:
        """How long a model has taken in this request, ms, with a call that has just ended."""
        spent_ms = self._spent_ms[model_id] = self._spent_ms.get(model_id, 0.0) + ms
        return spent_ms

    def note_model(self, model_id: str, *, failed: bool) -> None:
        """A model was asked. One call that failed makes it fail, whatever comes of the others."""
        failed = self.asked[model_id] = failed or self.asked.get(model_id, False)
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
