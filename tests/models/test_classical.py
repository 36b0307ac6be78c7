"""scikit-learn's classifiers in tensors say what scikit-learn says, and travel as safetensors."""

import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.classical import CLASSICAL, pooled
from pipeline.models.networks.registry import build_network

N_ROWS = 5


@pytest.fixture(scope="module")
def windows():
    """Windows, `[120, 5, 30]`, whose mean in row c is higher where class c is there."""
    rng = np.random.default_rng(0)
    targets = (rng.random((120, 3)) < 0.4).astype(np.float32)
    values = rng.standard_normal((120, N_ROWS, 30))
    values[:, :3] += 0.5 * targets[:, :, None] + 40
    return torch.from_numpy(values.astype(np.float32)), targets


def fitted(name, windows):
    values, targets = windows
    network = CLASSICAL[name](values.shape[1], targets.shape[1])
    network.fit(pooled(values).numpy(), targets, 0)
    return network


def scaled(windows):
    points = pooled(windows[0]).numpy()
    return (points - points.mean(axis=0)) / points.std(axis=0)


def probabilities(network, values):
    return torch.sigmoid(network(values)).numpy()


@pytest.mark.parametrize("name", sorted(set(CLASSICAL) - {"knn"}))  # too few are near
def test_each_of_eleven_classes_is_learned_from_a_few_windows(name):
    rng = np.random.default_rng(0)
    targets = np.eye(11, dtype=np.float32)[rng.integers(0, 11, 240)]
    values = rng.standard_normal((240, 11, 30)).astype(np.float32) + targets[:, :, None]
    windows = torch.from_numpy(values)
    network = fitted(name, (windows[:190], targets[:190]))
    scores, held_out = probabilities(network, windows[190:]), targets[190:]
    assert average_precision_score(held_out, scores, average="macro") > 0.9


@pytest.mark.parametrize("name", CLASSICAL)
def test_it_learns_and_a_state_dict_carries_all_of_it(name, windows):
    values, targets = windows
    network = fitted(name, windows)
    scores = probabilities(network, values)
    assert scores.shape == targets.shape
    assert scores[targets > 0.5].mean() > scores[targets < 0.5].mean() + 0.1
    stored = safetensors.torch.load(safetensors.torch.save(network.state_dict()))
    again = build_network(name, n_classes=3, input_shape=(N_ROWS, 30), dropout=0.0)
    again.load_state_dict(stored)
    np.testing.assert_array_equal(probabilities(again, values), scores)


def test_the_forest_is_scikit_learns(windows):
    forest = RandomForestClassifier(200, class_weight="balanced_subsample", random_state=0)
    forest.fit(scaled(windows), windows[1].astype(int))
    expected = np.stack([p[:, 1] for p in forest.predict_proba(scaled(windows))], axis=1)
    found = probabilities(fitted("random-forest", windows), windows[0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_boosting_is_scikit_learns(windows):
    """And walks trees down where thresholds are features of the training set itself."""
    found = probabilities(fitted("gradient-boosting", windows), windows[0])
    for c, column in enumerate(windows[1].astype(int).T):
        boosted = HistGradientBoostingClassifier(
            max_iter=100, class_weight="balanced", early_stopping=False, random_state=0
        ).fit(scaled(windows), column)
        expected = boosted.predict_proba(scaled(windows))[:, 1]
        np.testing.assert_allclose(found[:, c], expected, atol=1e-5)


def test_the_linear_model_is_scikit_learns(windows):
    found = probabilities(fitted("linear", windows), windows[0])
    for c, column in enumerate(windows[1].astype(int).T):
        fitted_one = LogisticRegression(class_weight="balanced", max_iter=1000)
        expected = fitted_one.fit(scaled(windows), column).predict_proba(scaled(windows))[:, 1]
        np.testing.assert_allclose(found[:, c], expected, atol=1e-5)


def test_the_neighbours_are_scikit_learns(windows):
    knn = KNeighborsClassifier(10).fit(scaled(windows), windows[1].astype(int))
    expected = np.stack([p[:, 1] for p in knn.predict_proba(scaled(windows))], axis=1)
    found = probabilities(fitted("knn", windows), windows[0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_perceptron_is_scikit_learns(windows):
    mlp = MLPClassifier((128,), alpha=1.0, max_iter=500, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ours says as much
        mlp.fit(scaled(windows), windows[1].astype(int))
    expected = mlp.predict_proba(scaled(windows))
    np.testing.assert_allclose(
        probabilities(fitted("mlp", windows), windows[0]), expected, atol=1e-5
    )


def test_the_margins_are_scikit_learns(windows):
    points, network = scaled(windows), fitted("svm", windows)
    for c, column in enumerate(windows[1].astype(int).T):
        expected = SVC(class_weight="balanced").fit(points, column).decision_function(points)
        found = (network(windows[0])[:, c] - network.shift[c]) / network.slope[c]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-3)


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_class_that_is_never_there_is_never_named(name, windows):
    values, targets = windows
    targets = np.concatenate([targets, np.zeros((len(targets), 1), np.float32)], axis=1)
    scores = probabilities(fitted(name, (values, targets)), values)
    assert (scores[:, 3] < 0.5).all()
    assert np.isfinite(scores).all()


def test_what_fills_up_a_short_clip_does_not_count(windows):
    filled = torch.nn.functional.pad(windows[0], (0, 50))
    torch.testing.assert_close(pooled(filled), pooled(windows[0]))


def test_in_a_tagger_it_is_one_like_any_other(windows):
    tagger = Tagger(Architecture("knn", 3, input_shape=(N_ROWS, 30), below_peak=False))
    tagger.backbone.fit(pooled(windows[0]).numpy(), windows[1], 0)
    assert tagger(windows[0]).shape == (120, 3)
    with pytest.raises(UsageError, match="from no weights"):
        Tagger(tagger.architecture, weights="imagenet")


@pytest.mark.parametrize("name", CLASSICAL)
def test_a_window_teaches_nothing_of_a_class_that_is_unknown(name, windows):
    values, targets = windows
    unknown, zeros, nothing = targets.copy(), targets.copy(), targets.copy()
    unknown[:40, 1] = np.nan  # of class 1 only the last 80 windows say something
    zeros[:40, 1] = 0
    nothing[:, 1] = np.nan
    scores = probabilities(fitted(name, (values, unknown)), values)[:, 1]
    as_absent = probabilities(fitted(name, (values, zeros)), values)[:, 1]
    there = targets[:, 1] > 0.5
    assert scores[there].mean() > scores[~there].mean() + 0.1
    assert scores[:40][there[:40]].mean() > as_absent[:40][there[:40]].mean() + 0.05
    found = probabilities(fitted(name, (values, nothing)), values)
    assert (found[:, 1] < 1e-3).all() and np.isfinite(found).all()
