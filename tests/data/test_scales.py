"""Features of any scale and offset reach the network alike, and training works with them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prac.cli import main
from prac.config import DataConfig
from prac.data import load_data
from prac.data.augment import Pipeline, channel_statistics
from prac.errors import PracError

LABELS = np.arange(60) % 3


def features(n=60, d=4):
    x = np.random.default_rng(0).normal(size=(n, d))
    x[np.arange(n), LABELS[:n]] += 3
    return x


def loaded(path, x, **changes):
    np.savez(
        path / "set.npz", x_train=x[:45], y_train=LABELS[:45], x_test=x[45:], y_test=LABELS[45:]
    )
    return load_data(DataConfig(str(path / "set.npz"), **changes))


def seen(examples):
    """Return what the network gets of all examples."""
    ((x, _),) = examples.stream([torch.arange(len(examples))])
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-37, 1e-30, 1e-8, 1e-3, 1.0, 1e20, 1e37])
def test_units_change_nothing(tmp_path, scale, dtype):
    usual, other = (loaded(tmp_path, (features() * s).astype(dtype)) for s in (1, scale))
    for first, second in ((usual.train, other.train), (usual.test, other.test)):
        assert seen(second).dtype == torch.float32
        torch.testing.assert_close(seen(second), seen(first), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-42])
def test_what_is_too_small_for_float32_is_normalised_before_it_is_narrowed(tmp_path, scale):
    usual, other = loaded(tmp_path, features()), loaded(tmp_path, features() * scale)
    torch.testing.assert_close(seen(other.train), seen(usual.train), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("offset", [1e3, 1e6, 1.7e9, -1e12])
def test_an_offset_is_subtracted_before_float32_loses_the_rest(tmp_path, offset):
    usual, other = loaded(tmp_path, features()), loaded(tmp_path, features() + offset)
    for first, second in ((usual.train, other.train), (usual.test, other.test)):
        torch.testing.assert_close(seen(second), seen(first), rtol=1e-3, atol=1e-3)
        assert seen(second).dtype == torch.float32


def test_float32_features_with_an_offset_have_no_mean_left(tmp_path):
    data = loaded(tmp_path, (features() + 1e6).astype(np.float32))
    assert seen(data.train).mean(0).abs().max() < 1e-5


def test_float64_is_kept_only_where_it_tells_more(tmp_path):
    assert loaded(tmp_path, features()).train.x.dtype == torch.float32
    assert loaded(tmp_path, features() + 1e9).train.x.dtype == torch.float64
    plain = loaded(tmp_path, features() + 1e9, normalize="none")
    assert seen(plain.train).dtype == torch.float32


@pytest.mark.parametrize("value", [0.0, 0.1, -7.0, 1e-20, 1e20, 3e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_feature_is_zero_and_near_zero_where_only_rounding_differs(
    tmp_path, value, dtype
):
    x = features().astype(dtype)
    x[:, 2] = value
    assert seen(loaded(tmp_path, x).train)[:, 2].abs().max() == 0
    x[::2, 2] = np.nextafter(x[0, 2], dtype(0))
    assert seen(loaded(tmp_path, x).train)[:, 2].abs().max() < 1e-6


def test_half_precision_does_not_overflow_in_its_sums(tmp_path):
    data = loaded(tmp_path, (features() * 8000).astype(np.float16))
    assert data.pipeline.std == pytest.approx(features()[:45].std(0) * 8000, rel=0.2)


@given(
    st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=20),
    st.integers(-120, 120),
    st.integers(1, 5),
)
def test_statistics_of_scaled_values_are_the_scaled_statistics(values, power, chunk):
    x = torch.tensor(values, dtype=torch.float64)[:, None]
    mean, std = channel_statistics(x, chunk)
    if max(values) - min(values) > 1e-9 * max(map(abs, values)):
        scaled_mean, scaled_std = channel_statistics(x * 2.0**power, chunk)
        assert scaled_std[0] == pytest.approx(std[0] * 2.0**power)
        assert scaled_mean[0] == pytest.approx(mean[0] * 2.0**power, abs=1e-9 * scaled_std[0])


def test_double_inputs_that_a_user_normalises_stay_double():
    pipeline = Pipeline((1e9,), (1.0,))
    assert pipeline(torch.full((2, 1), 1e9, dtype=torch.float64)).dtype == torch.float64


def test_features_without_a_column_are_refused(tmp_path):
    with pytest.raises(PracError, match=r"shape \(45, 0\), expected"):
        loaded(tmp_path, features(d=4)[:, :0])


def test_a_network_learns_from_features_of_any_unit(tmp_path):
    accuracies = []
    for scale in (1, 1e-8, 1e-30):
        loaded(tmp_path, features() * scale)
        out = tmp_path / str(scale)
        words = "--model lenet_300_100 --layers linear --epochs 10 --levels 1 --lr 0.05"
        more = f"--batch-size 16 --retrain 0 --quiet --out {out}"
        data = str(tmp_path / "set.npz")
        assert main(["find", "--data", data, *words.split(), *more.split()]) == 0
        summary = json.loads((out / "retrain/00/summary.json").read_text())
        accuracies.append(summary["test_accuracy"])
    assert min(accuracies) > 0.8
