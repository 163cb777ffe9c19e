import pickle

from radnet.errors import RadnetError, UsageError, did_you_mean


def test_an_error_is_one_paragraph_with_value_file_and_fix() -> None:
    error = UsageError("The slice is odd", seen=3, file="a/b.dcm", fix="Use an even one")
    assert str(error) == "The slice is odd (seen: 3). File: a/b.dcm. Use an even one."
    assert error.exit_code == 2


def test_errors_survive_the_way_from_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(RadnetError("It failed", seen="x", fix="Try again")))  # noqa: S301  (our own)
    assert type(error) is RadnetError
    assert str(error) == "It failed (seen: 'x'). Try again."
    assert error.fix == "Try again"


def test_a_typo_gets_the_nearest_name_and_nonsense_the_list() -> None:
    assert did_you_mean("resnet5", ["resnet50", "vit"]) == "Did you mean resnet50"
    assert did_you_mean("zzz", ["b", "a"]) == "Known: a, b"
