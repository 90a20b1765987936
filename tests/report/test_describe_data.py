"""What `prac inspect` shows of data sets that are very small, or have very many features."""

import numpy as np
import pytest

from prac.cli import main
from prac.config import DataConfig
from prac.report import describe


def save(path, **arrays):
    np.savez(path / "set.npz", **arrays)
    return str(path / "set.npz")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([0, 0, 1, 1], "val_fraction is 0.1, which of 4 examples holds none out: raise it"),
        ([0, 0, 0, 1, 0, 0, 0], "has the class '0', expected at least two classes"),
    ],
)
def test_a_set_too_small_to_hold_anything_out_is_shown_whole(tmp_path, labels, said):
    pictures = np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4)).astype(np.uint8)
    facts = describe(DataConfig(save(tmp_path, x=pictures, y=labels)))
    assert list(facts["splits"]) == ["train"]
    assert facts["splits"]["train"]["examples"] == len(labels)
    [told] = facts["warnings"]
    assert told.startswith("nothing is held out here; prac find says: ")
    assert said in told


def test_of_many_features_a_summary_is_printed_and_json_has_all(tmp_path, capsys):
    features = np.arange(101) * np.linspace(0, 2, 40)[:, None]
    path = save(tmp_path, x=features, y=np.arange(40) % 2)
    assert main(["inspect", path]) == 0
    words = capsys.readouterr().out.split()
    printed = " ".join(words)
    assert "normalised by mean 0.0000 to " in printed
    assert "of 101) and deviation " in printed
    assert len(words) < 60
    assert len(describe(DataConfig(path))["mean"]) == 101
