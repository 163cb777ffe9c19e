from pathlib import Path

import faiss
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from radnet.errors import UsageError
from radnet.transfer import knn
from radnet.transfer.contract import FeatureRows, FeatureSplit
from radnet.transfer.knn import KnnProtocol, nearest, unit_length, vote


def split(features: np.ndarray, target: np.ndarray) -> FeatureSplit:
    return FeatureSplit(features.astype(np.float32), target.astype(np.int64), np.full(len(target), "p"))


def blobs(seed: int = 0, *, items: int = 120, classes: int = 3, dimensions: int = 8):
    rng = np.random.default_rng(seed)
    target = rng.integers(classes, size=items)
    return (rng.normal(size=(classes, dimensions))[target] + rng.normal(size=(items, dimensions))), target


def scores_of(protocol: KnnProtocol, train: FeatureSplit, test: np.ndarray, classes: int = 3):
    val = split(np.zeros((0, train.features.shape[1])), np.zeros(0))
    return protocol.fit_predict(train, val, test.astype(np.float32), classes=classes, metric="accuracy", seed=0)


def test_agrees_with_a_slow_reference_and_with_scikit_learn() -> None:
    features, target = blobs()
    train, test = split(features[:90], target[:90]), features[90:].astype(np.float32)
    result = scores_of(KnnProtocol(k=7, temperature=0.1), train, test)
    lengths = np.linalg.norm(train.features, axis=1)
    for item, scores in zip(test, result.scores, strict=True):
        similarity = train.features @ item / lengths / np.linalg.norm(item)
        votes = np.zeros(3)
        for place in np.argsort(-similarity)[:7]:
            votes[target[place]] += np.exp(similarity[place] / 0.1)
        assert scores == pytest.approx(votes / votes.sum(), abs=1e-5)
    library = KNeighborsClassifier(7, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.1))
    assert result.scores == pytest.approx(library.fit(train.features, train.target).predict_proba(test), abs=1e-5)


def test_scores_are_distributions() -> None:
    features, target = blobs(1)
    result = scores_of(KnnProtocol(), split(features[:60], target[:60]), features[60:], classes=5)
    assert result.scores.shape == (60, 5)
    assert result.scores.dtype == np.float64
    assert (result.scores >= 0).all()
    assert result.scores.sum(1) == pytest.approx(np.ones(60))
    assert result.selected == {"k": 20, "classes_missing_in_train": [3, 4]}
    assert set(result.variants) == {"k10", "k100", "k200"}


def test_k_beyond_the_training_items_takes_them_all_and_says_so() -> None:
    features, target = blobs(2, items=12)
    train = split(features[:5], target[:5])
    result = scores_of(KnnProtocol(k=20), train, features[5:])
    assert result.selected["k"] == 5
    assert result.selected["k_asked"] == 20
    assert result.scores == pytest.approx(scores_of(KnnProtocol(k=5), train, features[5:]).scores)


def test_padding_has_no_vote() -> None:
    similarity = np.array([[0.9, -3.4e38], [-3.4e38, -3.4e38]], dtype=np.float32)
    neighbour = np.array([[1, -1], [-1, -1]])
    scores = vote(similarity, neighbour, np.array([0, 1]), classes=2, temperature=0.07)
    assert scores.tolist() == [[0, 1], [0.5, 0.5]]


def test_tiny_temperature_does_not_overflow() -> None:
    similarity, neighbour = np.array([[1.0, 0.5]], dtype=np.float32), np.array([[0, 1]])
    assert vote(similarity, neighbour, np.array([0, 1]), classes=2, temperature=1e-6).tolist() == [[1, 0]]


def test_length_of_a_feature_does_not_matter_and_zeros_are_survived() -> None:
    features, target = blobs(3)
    train = split(features[:90], target[:90])
    longer = split(features[:90] * np.linspace(0.01, 100, 90)[:, None], target[:90])
    assert scores_of(KnnProtocol(), longer, features[90:]).scores == pytest.approx(
        scores_of(KnnProtocol(), train, features[90:]).scores, abs=1e-4
    )
    assert unit_length(np.zeros((2, 4), dtype=np.float32)).tolist() == np.zeros((2, 4)).tolist()
    assert np.linalg.norm(unit_length(train.features * np.float32(1e30)), axis=1) == pytest.approx(np.ones(90))
    zeros = scores_of(KnnProtocol(), train, np.zeros((1, 8)))
    assert zeros.scores.sum() == pytest.approx(1)


def test_dimensions_that_differ_are_a_clear_error() -> None:
    features, target = blobs(4)
    with pytest.raises(UsageError, match="different dimensions"):
        scores_of(KnnProtocol(), split(features, target), features[:, :5])
    with pytest.raises(UsageError, match="different dimensions"):
        nearest(features.astype(np.float32), features[:, :5].astype(np.float32), k=1)


def test_threads_change_nothing() -> None:
    features, target = blobs(5, items=400)
    train = split(features[:300], target[:300])
    one, two = (scores_of(KnnProtocol(threads=threads), train, features[300:]) for threads in (1, 2))
    assert one.scores == pytest.approx(two.scores, abs=1e-6)


def test_search_takes_no_more_threads_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    search = faiss.knn

    def watched(*arguments: object, **settings: object):
        seen.append(faiss.omp_get_max_threads())
        return search(*arguments, **settings)

    before = faiss.omp_get_max_threads()
    monkeypatch.setattr(faiss, "knn", watched)
    for threads in (1, 3):
        nearest(np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32), k=1, threads=threads)
    assert seen == [1, 3]
    assert faiss.omp_get_max_threads() == before


def test_one_pass_gives_the_scores_of_every_k() -> None:
    features, target = blobs(6)
    train = split(features[:90], target[:90])
    result = scores_of(KnnProtocol(k=5, more_k=(3, 5, 40)), train, features[90:])
    assert list(result.variants) == ["k3", "k40"]
    for k, scores in ((5, result.scores), (3, result.variants["k3"]), (40, result.variants["k40"])):
        assert scores == pytest.approx(scores_of(KnnProtocol(k=k), train, features[90:]).scores)


def test_several_labels_an_item_share_the_votes() -> None:
    features, _ = blobs(7)
    target = (np.random.default_rng(8).random((90, 4)) < 0.3).astype(np.int64)
    train, test = split(features[:90], target), features[90:].astype(np.float32)
    result = scores_of(KnnProtocol(k=6, temperature=0.2), train, test, classes=4)
    similarity, neighbour = nearest(train.features, test, k=6)
    for item in range(len(test)):
        weight = np.exp(similarity[item].astype(float) / 0.2)
        shares = sum(w * target[n] for w, n in zip(weight, neighbour[item], strict=True)) / weight.sum()
        assert result.scores[item] == pytest.approx(shares)
    assert vote(np.full((1, 2), -1.0, np.float32), np.full((1, 2), -1), target, classes=4, temperature=1).sum() == 0


def test_searching_in_pieces_from_disk_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = blobs(9, items=500)[0].astype(np.float32)
    np.save(tmp_path / "features.npy", features)
    stored = np.load(tmp_path / "features.npy", mmap_mode="r")
    rows = np.arange(0, 500, 2)
    whole = nearest(features[rows], features[1::2], k=30)
    for values in (8, 300, 801):  # one row, some rows, and a remainder
        monkeypatch.setattr(knn, "BASE_VALUES", values)
        monkeypatch.setattr(knn, "QUERY_VALUES", values)
        pieces = nearest(FeatureRows(stored, rows), FeatureRows(stored, rows + 1), k=30)
        assert pieces[0] == pytest.approx(whole[0], abs=1e-6)
        assert (pieces[1] == whole[1]).mean() > 0.999, "equal but for ties in the last digit"


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"more_k": (0,)}, {"temperature": 0.0}, {"similarity": "dot"}, {"threads": 0}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        KnnProtocol(**wrong)
