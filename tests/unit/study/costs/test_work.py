"""Work of the jobs of studies that can be counted by hand."""

import pytest

from sparsight.data.registry import SOURCES
from sparsight.io.errors import InputError
from sparsight.study.costs.work import StudyWork, metric_passes, predicted_bytes

#: of the thesis network for images of 28 x 28, see tests/unit/models/test_networks.py
OPERATIONS, ELEMENTS = 61_184, 8_430
NETWORK = {"dataset": "digits", "model": "thesis_cnn_digits"}


@pytest.fixture(scope="module")
def work(study_of):
    study = study_of({"explaining": {"images": 100, "conditions": ["clean", "noisy"]}})
    return StudyWork(study)


def of(work, rule, **wildcards):
    return work.job(rule, {**NETWORK, **wildcards}).work


def test_images_of_splits_follow_from_the_options(study_of):
    counts = StudyWork(study_of())
    splits = ("train", "validation", "test")
    found = {
        name: tuple(counts.images(name, split) for split in splits)
        for name in ("digits", "mnist", "shapes_32", "imagenette", "imagenette_64")
    }
    assert found == {
        "digits": (1297, 0, 500),
        "mnist": (60_000, 0, 10_000),
        "shapes_32": (4800, 0, 400),
        "imagenette": (8522, 947, 3925),
        "imagenette_64": (4000, 0, 2000),
    }
    # stickers are planted in the images of the base, and in copies of test images
    assert counts.images("imagenette_64_stickers", "train") == 4000
    assert counts.images("imagenette_64_stickers", "test") == 2400
    assert counts.all_images("digits") == 1797


def test_a_share_of_the_training_images_may_be_set_aside(study_of):
    share = {"options": {"validation": {"share": 0.1, "seed": 0}}}
    counts = StudyWork(study_of({"catalogue": {"datasets": {"mnist": share}}}))
    assert [counts.images("mnist", split) for split in ("train", "validation")] == [54_000, 6_000]


def test_images_that_are_given_count_before_those_of_the_source(study_of):
    counts = StudyWork(study_of(), {"digits": {"train": 300, "test": 243}})
    found = [counts.images("digits", split) for split in ("train", "validation", "test")]
    assert found == [300, 0, 243]


def test_a_source_of_unknown_size_asks_for_its_images(study_of, facts_with):
    facts_with(SOURCES, "digits", original_images=(0, 0))
    with pytest.raises(InputError, match="how many training images digits has; state"):
        StudyWork(study_of()).images("digits", "train")


def test_training_counts_three_passes_an_image_and_epoch(work):
    # 20 epochs of 1,297 images
    start = of(work, "make_rewind_point")
    assert start["operations"] == pytest.approx(3 * 20 * 1297 * OPERATIONS / 1e12)
    assert start["elements"] == pytest.approx(3 * 20 * 1297 * ELEMENTS / 1e9)
    assert start["images"] == pytest.approx(20 * 1.297)
    # and one pass of all images for the evaluation
    level = of(work, "prune_level", pruner="magnitude", level="01")
    assert level["operations"] == pytest.approx((3 * 20 * 1297 + 1797) * OPERATIONS / 1e12)
    assert level == of(work, "train_dense")


@pytest.mark.parametrize(
    ("select", "judged"), [("last", 0), ("best_validation", 297), ("best_test", 500)]
)
def test_an_epoch_is_judged_on_the_split_that_selects_it(study_of, select, judged):
    study = study_of(
        {
            "catalogue": {
                "datasets": {"digits": {"options": {"split": {"validation": 297}}}},
                "models": {"thesis_cnn_digits": {"retraining": {"select": select}}},
            }
        }
    )
    found = of(StudyWork(study), "prune_level", pruner="magnitude")
    passes = 20 * (3 * 1000 + judged) + 1797
    assert found["operations"] == pytest.approx(passes * OPERATIONS / 1e12)


def test_a_later_rewind_point_leaves_fewer_epochs(study_of):
    study = study_of(
        {
            "pruners": ["late"],
            "catalogue": {
                "pruners": {
                    "late": {
                        "criterion": "magnitude",
                        "rate": 0.5,
                        "levels": 1,
                        "rewind": "epoch:5",
                    }
                }
            },
        }
    )
    late = StudyWork(study)
    assert of(late, "prune_level", pruner="late")["images"] == pytest.approx(15 * 1.297)
    assert of(late, "make_epoch_point", epoch="5")["images"] == pytest.approx(5 * 1.297)


def test_explaining_goes_by_the_explainers_costs(work):
    # four Grad-CAMs of three passes and the mean activation of one; 100 images, two conditions
    found = of(work, "explain_images", family="cam")
    assert found["operations"] == pytest.approx(200 * 13 * OPERATIONS / 1e12)
    assert found["images"] == pytest.approx(0.2)
    # integrated gradients cost 150 passes
    assert work.cost("integrated_gradients", "digits") == 150
    # so many channels, and the maps
    assert work.cost("score_cam_conv2_relu", "digits") == 9
    # windows of 4 pixels, 2 apart: 13 a side of 28 pixels, 223 of 448
    assert work.cost("occlusion", "digits") == 13**2 + 1
    assert work.cost("occlusion", "cub200") == 223**2 + 1


def test_scoring_counts_pixels_of_maps(work):
    found = of(work, "score_explanations", family="cam")
    # five explainers, seven metrics
    assert found["rows"] == pytest.approx(200 * 5 * 7 / 1e6)
    assert found["map_pixels"] == pytest.approx(200 * 5 * 7 * 28 * 28 / 1e9)
    assert (found["operations"], found["imputed_pixels"]) == (0, 0)


def test_dense_networks_are_compared_with_all_other_seeds(work):
    # one metric; Grad-CAM and mean activation of conv2 are 11 x 11, those of pool2 5 x 5
    pruned = of(work, "compare_explanations", family="cam", pruner="magnitude")
    assert pruned["map_pixels"] == pytest.approx(200 * (4 * 11 * 11 + 5 * 5) / 1e9)
    dense = of(work, "compare_explanations", family="cam", pruner="dense")
    assert dense["map_pixels"] == pytest.approx(2 * pruned["map_pixels"])


def test_rows_of_a_chain(work):
    # six levels of cam (5 explainers) and controls (4), three of gradient (5); seven metrics
    rows = 200 * 7 * (6 * (5 + 4) + 3 * 5) / 1e6
    assert of(work, "resample_images", pruner="magnitude")["rows"] == pytest.approx(rows)


def test_other_jobs_take_what_their_rule_takes(work):
    assert work.job("contrast", {}).work == {}
    assert work.job("prepare_dataset", {"dataset": "digits"}).work == {}


def test_what_memory_follows(work):
    train = work.job("prune_level", {**NETWORK, "pruner": "magnitude", "level": "01"})
    assert train.memory == pytest.approx(
        {"batch": 32 * ELEMENTS / 1e9, "data": 1297 * 28 * 28 / 1e9}
    )
    explain = work.job("explain_images", {**NETWORK, "family": "cam"})
    assert explain.memory == pytest.approx({"batch": 250 * ELEMENTS / 1e9})
    assert work.job("contrast", {}).memory == {}


def test_keys_say_what_a_job_works_on(work):
    level = work.job("prune_level", {**NETWORK, "seed": "2", "pruner": "magnitude", "level": "01"})
    assert level.key == "prune_level/digits/thesis_cnn_digits/"
    explain = work.job("explain_images", {**NETWORK, "family": "cam"})
    assert explain.key == "explain_images/digits/thesis_cnn_digits/cam"


def test_bytes_of_a_small_study(study_of):
    overlay = {"explaining": {"images": 100}, "seeds": [1], "pruners": ["retrain"]}
    found = predicted_bytes(StudyWork(study_of(overlay)))
    # one channel of the image, one of noise, a mask
    assert found["packed data"] == 1797 * 3 * 28 * 28
    # the start and two levels
    assert found["checkpoints"] == 2346 * (8 + 2 * 5)
    # both levels explained with 14 explainers and 7 metrics
    assert found["scores"] == 2 * 7 * (2 * 100 * 14 * 7)
    assert found["statistics"] == 2 * 14 * 7 * 1000 * 8 * 4
    assert found["features"] == 0


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
