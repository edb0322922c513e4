"""Passes of metrics whose classes say how many they make."""

from sparsight.study.costs.work import metric_passes


def passes(*methods, cost=3.0, limit=60.0):
    entries = [m if isinstance(m, dict) else {"method": m} for m in methods]
    return metric_passes(entries, cost, limit)


def test_metrics_of_the_map_alone_need_none():
    assert passes("soft_iou", "pointing_game", "entropy") == (0, 0)


def test_road_goes_through_ten_shares_and_shares_them():
    assert passes("road_morf") == (10, 10)
    probability = {"method": "road_morf", "parameters": {"value": "probability"}}
    assert passes("road_morf", probability, "road_morf_published") == (10, 10)
    # the other order of pixels is another set of images
    assert passes("road_morf", "road_lerf") == (20, 20)


def test_curves_begin_with_the_whole_image():
    assert passes("insertion", "deletion") == (42, 0)


def test_metrics_that_explain_anew_pay_for_the_explainer():
    samples = {"samples": 10}
    robust = [
        {"method": name, "parameters": samples} for name in ("max_sensitivity", "local_lipschitz")
    ]
    assert passes(*robust, cost=3) == (30, 0)
    assert passes("random_logit", cost=3) == (3, 0)
    # too dear an explainer is left out
    assert passes(*robust, "random_logit", "infidelity", cost=150) == (100, 0)


def test_another_library_s_metric_is_not_counted():
    assert passes("quantus.Complexity") == (0, 0)
