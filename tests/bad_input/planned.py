"""Everything that the workflow asks a sound configuration for before any job starts."""

import json
from collections.abc import Mapping
from typing import Any

from sparsight.study.configuration import normalise, resolve
from sparsight.study.plan import DENSE, ConceptPlan, Place, Study, check_disk_budget, stored_bytes
from sparsight.study.settings import (
    ConceptSettings,
    FigureSettings,
    RuleSettings,
    SampleSettings,
    TableSettings,
)


def plan(config: Mapping[str, Any]) -> None:
    """Ask for all places, families and settings as the rules do; each must be writable as JSON.

    Parameters
    ----------
    config : normalised, without problems.

    Raises
    ------
    InputError
        When the explanations would take more than the budget; nothing else may be raised.
    """
    study = Study(resolve(config)[0])
    check_disk_budget(study)
    assert stored_bytes(study) >= 0
    assert study.agreement_sentence().endswith((".", "."))
    asked = [
        *_of_data(study),
        *_of_networks(study),
        *_of_levels(study),
        *_of_families(study),
        *_of_concepts(study),
        *_of_samples(study),
        *_of_tables(study),
    ]
    json.dumps(normalise(asked), allow_nan=False)


def _of_data(study: Study) -> list[Any]:
    rules = RuleSettings(study)
    names = study.prepared_datasets()
    return [
        [rules.fetching(name), rules.packing(name), rules.dataset_items(name)] for name in names
    ]


def _of_networks(study: Study) -> list[Any]:
    rules, drawn, tables = RuleSettings(study), FigureSettings(study), TableSettings(study)
    found: list[Any] = []
    for network in study.networks():
        found += [drawn.headline_metrics(network), drawn.step_metrics(network)]
        pair = (network.dataset, network.model)
        found += [study.initial_weights(network.model), study.imagenet_weights(network.model)]
        found += [rules.start(*pair), rules.epoch_point(*pair), rules.dense(*pair)]
        found += [rules.network_items(network.model)]
        found += [study.explained_levels(network), drawn.accuracy(*pair), drawn.sheet(*pair)]
        found.append(drawn.correlations(*pair))
        found += [drawn.metric(*pair, metric) for metric in study.config["metrics"]]
        found += [drawn.step_curves(*pair, metric) for metric in tables.step_metrics()]
        found += [drawn.agreement(*pair, metric) for metric in study.config["agreement"]]
    return found


def _of_levels(study: Study) -> list[Any]:
    rules, tables = RuleSettings(study), TableSettings(study)
    found: list[Any] = []
    for place in study.places():
        network = (place.dataset, place.model)
        found.append(rules.network_items(place.model, place.pruner))
        if place.pruner != DENSE:
            assert 0 <= study.predecessor(place.pruner, place.level) < place.level
            found.append(rules.level(*network, place.pruner, place.level))
        seed = str(place.seed)
        found += [
            rules.compare(*network, seed, place.pruner, place.level, family)
            for family in study.agreement_families()
            if family in study.families(study.network(*network))
        ]
    for end in study.chains():
        assert len(study.chain(end)) == end.level + 1
        found += [study.sheet_levels(end.pruner), study.catalogue["pruners"][end.pruner]["rewind"]]
        found.append(tables.resampling(end.dataset, end.model, str(end.seed), end.pruner))
    return [*found, rules.compare_items()]


def _of_families(study: Study) -> list[Any]:
    rules = RuleSettings(study)
    found: list[Any] = [study.controls()]
    for network in study.networks():
        pair = (network.dataset, network.model)
        for family in study.families(network):
            found += [study.explaining(family), study.explains(family, DENSE, 0)]
            found += [rules.score(family, *pair), rules.score_items(family, *pair)]
            model = None if family in study.network_free_families() else network.model
            found += [rules.explain(family, network.dataset, model)]
            found += [rules.explain_items(family, network.dataset, model)]
    return found


def _of_concepts(study: Study) -> list[Any]:
    plan_, rules = ConceptPlan(study), ConceptSettings(study)
    found: list[Any] = [rules.features(), rules.summary(), rules.page(), plan_.has_concept_claims()]
    found.append(plan_.has_order_claims())
    for place, name in plan_.places():
        seed = str(place.seed)
        pair = (place.dataset, place.model)
        found += [study.concept_bank(place.dataset), plan_.is_compared(place, name)]
        found += [rules.compare(*pair, seed, place.pruner, place.level, name)]
        found += [rules.find(name), rules.find_items(name, place.model)]
        found.append(rules.figure(*pair, name))
    for network in study.networks():
        found.append(plan_.sheets(network))
        for pruner in plan_.sheet_pruners(network):
            shown: Place = plan_.sheet_place(network.dataset, network.model, pruner)
            found.append(shown.level)
    return found


def _of_samples(study: Study) -> list[Any]:
    samples = SampleSettings(study)
    found: list[Any] = [samples.summary(), samples.toy(), samples.draws_toy()]
    for network in study.networks():
        pair = (network.dataset, network.model)
        for family in study.families(network):
            if name := study.sample_pruner(family):
                found += [samples.search_of(name), samples.megabytes(name)]
                found += [samples.unpruned_family(family), samples.explain(family, *pair)]
                found += [samples.explain_items(family, *pair)]
        for name in samples.searching_pruners():
            found += [samples.search(name), samples.calibration_split(name)]
            found += [samples.search_items(name, network.model)]
        if samples.pairs(network):
            found.append(samples.figure(*pair))
    for network in samples.visualised_networks():
        found += [samples.visualise(network.dataset), samples.visualise_items(network.model)]
    return found


def _of_tables(study: Study) -> list[Any]:
    tables = TableSettings(study)
    found: list[Any] = [tables.summary(), tables.contrasts(), tables.agreement(), tables.costs()]
    return [*found, tables.step_curves(), tables.claims(), tables.claim_items(), tables.whole()]
