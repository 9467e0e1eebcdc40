"""GET /experiments/{id}/results: what was counted for each variant, and which one wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from app.decision.catalogue import TenantCatalogue
from app.decision.entities import Experiment
from app.decision.experiments.exposure import variant_key
from app.decision.experiments.statistics import VariantCounts, VariantResult, results
from app.decision.shared import Evidence
from web.access import Operation, Role, areas
from web.errors import not_found
from web.view import Answer, ApiView, Call, encode


class ResultsBody(msgspec.Struct, rename="camel"):
    """An experiment's figures as of about a second ago. `sampleRatioP` is null when it cannot be told."""

    experiment_id: str
    key: str
    status: str
    control_variant: str
    variants: tuple[VariantResult, ...]
    sample_ratio_p: float | None
    sample_ratio_mismatch: bool


class ExperimentResultsView(ApiView):
    """The results of one experiment, by id or key, of any status."""

    view_name = "experiment-results"
    view_path = "/api/v1/experiments/{experimentId:[^/]+}/results"
    operations: ClassVar[Mapping[str, Operation]] = {
        "GET": Operation(
            "What was counted for each variant, and how they compare.",
            Role.VIEWER,
            areas("catalogue"),
            answer=ResultsBody,
            errors=(404,),
        )
    }

    async def get(self, call: Call) -> Answer:
        reference = call.path["experimentId"]
        catalogue = self.engine.catalogue().tenant(call.tenant_id)
        experiment = _experiment(catalogue, reference)
        return Answer(encode(results_of(experiment, self.engine.scoreboard.tenant(call.tenant_id))))


def results_of(experiment: Experiment, evidence: Evidence) -> ResultsBody:
    """An experiment's figures by the evidence for its variants."""
    counts = []
    for variant in experiment.variants:
        tally = evidence.tally(variant_key(experiment.id, variant.key))
        counts.append(VariantCounts(variant.key, variant.weight, tally.impressions, tally.positives))
    found = results(counts, experiment.control_variant)
    return ResultsBody(
        experiment_id=experiment.id,
        key=experiment.key,
        status=experiment.status,
        control_variant=found.control,
        variants=found.variants,
        sample_ratio_p=found.sample_ratio_p,
        sample_ratio_mismatch=found.sample_ratio_mismatch,
    )


def _experiment(catalogue: TenantCatalogue, reference: str) -> Experiment:
    found = catalogue.find("experiments", reference, Experiment)
    if found is None:
        raise not_found(f"There is no experiment {reference[:128]}.", "experimentId")
    return found
