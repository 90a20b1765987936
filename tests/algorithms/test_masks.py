"""Masks: exact counts, ties in order, layers that survive, against a stable argsort."""

import math
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from prac.algorithms import density, kept, kept_per_level, magnitude, ones, prune, random_scores
from prac.algorithms.masks import CHUNK

# Few distinct values, so that ties within and across layers are the rule.
SCORES = st.sampled_from([0.0, 0.5, 1.0, 2.0, float("inf")])


@st.composite
def scored_masks(draw):
    """Draw scores and masks of one to four layers, empty and fully pruned ones among them."""
    scores, masks = {}, {}
    for name in "abcd"[: draw(st.integers(1, 4))]:
        shape = draw(st.sampled_from([(0,), (1,), (5,), (2, 3), (2, 1, 2, 2)]))
        size = torch.Size(shape).numel()
        row = st.lists(SCORES, min_size=size, max_size=size)
        bits = st.lists(st.booleans(), min_size=size, max_size=size)
        scores[name] = torch.tensor(draw(row), dtype=torch.float32).view(shape)
        masks[name] = torch.tensor(draw(bits), dtype=torch.bool).view(shape)
    return scores, masks


FRACTIONS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.2, 0.5, 1.0]))


def slowly_pruned(scores, masks, fraction, allow_empty):
    """Rank every kept weight in one Python list, weakest first; a stable sort orders the ties."""
    ranked = [
        (scores[name].reshape(-1)[i].item(), name, i)
        for name, mask in masks.items()
        for i in range(mask.numel())
        if mask.reshape(-1)[i]
    ]
    ranked.sort(key=lambda weight: weight[0])
    count = round(fraction * len(ranked))
    if not allow_empty:
        last = {name: (name, i) for _, name, i in ranked}
        ranked = [weight for weight in ranked if weight[1:] not in last.values()]
    result = {name: mask.clone().reshape(-1) for name, mask in masks.items()}
    for _, name, i in ranked[:count]:
        result[name][i] = False
    return {name: result[name].view(mask.shape) for name, mask in masks.items()}


def as_lists(masks):
    return {name: mask.tolist() for name, mask in masks.items()}


def test_the_smallest_magnitudes_go_first_over_all_layers():
    weights = {"a": torch.tensor([-3.0, 0.1]), "b": torch.tensor([[0.2], [-4.0]])}
    masks = prune(magnitude(weights), ones(weights), 0.5)
    assert as_lists(masks) == {"a": [True, False], "b": [[False], [True]]}


def test_layer_scope_prunes_the_same_share_of_each():
    scores = {"a": torch.tensor([1.0, 2.0, 3.0, 4.0]), "b": torch.tensor([10.0, 30.0, 20.0, 40.0])}
    masks = prune(scores, ones(scores), 0.5, scope="layer")
    assert as_lists(masks) == {"a": [False, False, True, True], "b": [False, True, False, True]}
    # Ranked together, all the weights of the weaker layer but one go.
    assert kept({"a": prune(scores, ones(scores), 0.5)["a"]}) == 1


def test_equal_scores_go_in_order_of_layer_and_index():
    scores = {"b": torch.ones(3), "a": torch.ones(3)}
    masks = prune(scores, ones(scores), 4 / 6, allow_empty=True)
    assert as_lists(masks) == {"b": [False] * 3, "a": [False, True, True]}


def test_ties_across_layers_fill_the_count_from_the_earlier_one():
    scores = {"a": torch.tensor([2.0, 1.0, 2.0]), "b": torch.tensor([0.0, 2.0, 3.0])}
    masks = prune(scores, ones(scores), 0.5)
    assert as_lists(masks) == {"a": [False, False, True], "b": [False, True, True]}


def test_a_layer_keeps_its_strongest_weight_at_extreme_sparsity():
    scores = {"weak": torch.tensor([0.1, 0.3, 0.2]), "strong": torch.arange(10.0) + 1}
    masks = prune(scores, ones(scores), 0.99)
    assert masks["weak"].tolist() == [False, True, False]
    assert masks["strong"].nonzero().tolist() == [[9]]
    assert kept(prune(scores, ones(scores), 0.8)) == 13 - round(0.8 * 13)


def test_allow_empty_lets_a_layer_go():
    scores = {"weak": torch.tensor([0.1, 0.3, 0.2]), "strong": torch.arange(10.0) + 1}
    masks = prune(scores, ones(scores), 3 / 13, allow_empty=True)
    assert kept({"weak": masks["weak"]}) == 0
    assert kept(masks) == 10
    assert kept(prune(scores, ones(scores), 1.0, allow_empty=True)) == 0


def test_an_emptied_layer_stays_empty():
    scores = {"a": torch.ones(2), "b": torch.ones(4)}
    masks = {"a": torch.zeros(2, dtype=torch.bool), "b": torch.ones(4, dtype=torch.bool)}
    assert as_lists(prune(scores, masks, 0.5)) == {
        "a": [False, False],
        "b": [False, False, True, True],
    }


@given(scored_masks(), FRACTIONS, st.booleans())
def test_global_pruning_is_the_stable_sort(case, fraction, allow_empty):
    scores, masks = case
    expected = slowly_pruned(scores, masks, fraction, allow_empty)
    assert as_lists(prune(scores, masks, fraction, allow_empty=allow_empty)) == as_lists(expected)


@given(scored_masks(), FRACTIONS, st.booleans())
def test_layer_pruning_is_the_stable_sort_of_each_layer(case, fraction, allow_empty):
    scores, masks = case
    expected = {}
    for name in masks:
        alone = {name: scores[name]}, {name: masks[name]}
        expected |= slowly_pruned(*alone, fraction, allow_empty)
    found = prune(scores, masks, fraction, scope="layer", allow_empty=allow_empty)
    assert as_lists(found) == as_lists(expected)


@given(scored_masks(), FRACTIONS, st.sampled_from(["global", "layer"]), st.booleans())
def test_masks_are_nested_and_what_was_given_is_left_alone(case, fraction, scope, allow_empty):
    scores, masks = case
    before = as_lists(masks)
    pruned = prune(scores, masks, fraction, scope=scope, allow_empty=allow_empty)
    assert as_lists(masks) == before
    for name, mask in masks.items():
        assert not (pruned[name] & ~mask).any()
        assert pruned[name].untyped_storage().data_ptr() != mask.untyped_storage().data_ptr() or (
            mask.numel() == 0
        )
        if not allow_empty:
            assert pruned[name].any() == mask.any()


def test_densities_fall_as_powers_of_the_share_kept():
    weights = {"a": torch.randn(40, 50), "b": torch.randn(8000)}
    masks = ones(weights)
    count = 10_000
    assert density(masks) == 1
    for level in range(1, 16):
        masks = prune(random_scores(weights, level), masks, 0.2)
        count -= round(0.2 * count)
        assert kept(masks) == count
        assert density(masks) == pytest.approx(0.8**level, abs=1e-3)


def test_memory_format_does_not_order_ties():
    weight = torch.ones(2, 3, 2, 2)
    plain = prune({"w": weight}, ones({"w": weight}), 0.5)
    weight = weight.to(memory_format=torch.channels_last)
    assert torch.equal(prune({"w": weight}, ones({"w": weight}), 0.5)["w"], plain["w"])


def plainly_pruned(scores, masks, fraction, allow_empty):
    """Prune as plainly as torch can: all candidates in one tensor, the layers' strongest left out.

    What `prune` does in pieces, it did thus at first, at several times the weights' memory.
    """
    candidates = {name: mask.reshape(-1).clone() for name, mask in masks.items()}
    flat = {name: score.reshape(-1) for name, score in scores.items()}
    for name, mask in candidates.items():
        if mask.any() and not allow_empty:
            positions = mask.nonzero().squeeze(1)
            values = flat[name][positions]
            mask[positions[(values == values.max()).nonzero()[-1]]] = False
    count = min(round(fraction * kept(masks)), kept(candidates))
    if count == 0:
        return masks
    values = torch.cat([flat[name][mask] for name, mask in candidates.items()])
    threshold, dtype = values.kthvalue(count).values, values.dtype
    left = count - int((values < threshold).sum())
    result = {}
    for name, mask in masks.items():
        score = flat[name].to(dtype)
        tied = candidates[name] & (score == threshold)
        chosen = (tied & (tied.cumsum(0) <= left)) | (candidates[name] & (score < threshold))
        left -= int((chosen & tied).sum())
        result[name] = mask & ~chosen.view_as(mask)
    return result


DTYPES = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
)  # fmt: skip


@st.composite
def larger_layers(draw):
    """Draw layers of some hundred weights: any types, many ties or none, any order in memory."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    one_type, mixed = draw(st.sampled_from(DTYPES)), draw(st.booleans())
    scores, masks = {}, {}
    for name in "dacb"[: draw(st.integers(1, 4))]:
        shape = draw(st.sampled_from([(), (0,), (0, 3), (1,), (300,), (3, 4, 5, 2), (2, 40)]))
        dtype = draw(st.sampled_from([one_type, *DTYPES])) if mixed else one_type
        distinct = draw(st.sampled_from([1, 2, 3, 20, 100_000]))
        score = torch.randint(distinct, shape, generator=generator).to(torch.float64)
        if dtype.is_floating_point:
            score = (score - distinct // 2) / 7
            for odd in (math.inf, -math.inf):
                share = draw(st.sampled_from([0.0, 0.1, 0.6]))
                score[torch.rand(shape, generator=generator) < share] = odd
        else:
            score = score % (torch.iinfo(dtype).max + 1)
        density = draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
        mask = torch.rand(shape, generator=generator) < density
        if dtype.is_floating_point:
            score[~mask] = math.nan
        score = score.to(dtype)
        if len(shape) == 4 and draw(st.booleans()):
            score = score.to(memory_format=torch.channels_last)
            if draw(st.booleans()):
                mask = mask.to(memory_format=torch.channels_last)
        if len(shape) == 2 and draw(st.booleans()):
            score, mask = score.t(), mask.t()
        scores[name], masks[name] = score, mask
    return scores, masks


@settings(deadline=None)
@given(larger_layers(), FRACTIONS, st.booleans(), st.sampled_from([2, 7, 64, CHUNK]))
def test_pruning_in_pieces_is_pruning_at_once(case, fraction, allow_empty, chunk):
    scores, masks = case
    expected = plainly_pruned(scores, masks, fraction, allow_empty)
    with mock.patch("prac.algorithms.masks.CHUNK", chunk):
        found = prune(scores, masks, fraction, allow_empty=allow_empty)
    assert as_lists(found) == as_lists(expected)


@settings(deadline=None)
@given(larger_layers(), FRACTIONS, st.booleans(), st.sampled_from([3, 30]))
def test_pruning_each_layer_in_pieces_is_pruning_it_at_once(case, fraction, allow_empty, chunk):
    scores, masks = case
    expected = {}
    for name in masks:
        alone = {name: scores[name]}, {name: masks[name]}
        expected |= plainly_pruned(*alone, fraction, allow_empty)
    with mock.patch("prac.algorithms.masks.CHUNK", chunk):
        found = prune(scores, masks, fraction, scope="layer", allow_empty=allow_empty)
    assert as_lists(found) == as_lists(expected)


FORMATS = (torch.channels_last, torch.contiguous_format)


@st.composite
def many_layers(draw):
    """Draw up to thirty layers of about a piece's size or far smaller, and that size.

    With it comes what the stable sort takes: the layers in plain order of index.
    """
    chunk = draw(st.integers(1, 30))
    sizes = [0, 1, 2, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1]
    shapes = st.one_of(
        st.sampled_from([(size,) for size in sizes]), st.sampled_from([(2, 3, 2, 1), (1, 2, 2, 2)])
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    distinct = draw(st.sampled_from([1, 3, 20, 100_000]))
    density = draw(st.sampled_from([0.05, 0.5, 1.0]))
    scores, masks, plain = {}, {}, ({}, {})
    for number, shape in enumerate(draw(st.lists(shapes, min_size=1, max_size=30))):
        name = str(number)
        # Some layers are weak as a whole, so that they would be pruned to nothing.
        strength = draw(st.sampled_from([1, 1, 1e-6]))
        score = torch.randint(distinct, shape, generator=generator).float() * strength
        mask = torch.rand(shape, generator=generator) < density
        plain[0][name], plain[1][name] = score, mask
        if len(shape) == 4 and draw(st.booleans()):
            score = score.to(memory_format=torch.channels_last)
            mask = mask.to(memory_format=draw(st.sampled_from(FORMATS)))
        scores[name], masks[name] = score, mask
    return scores, masks, plain, chunk


@settings(deadline=None)
@given(many_layers(), FRACTIONS, st.booleans())
def test_many_layers_pruned_together_are_the_stable_sort(case, fraction, allow_empty):
    scores, masks, plain, chunk = case
    expected = slowly_pruned(plain[0], plain[1], fraction, allow_empty)
    with mock.patch("prac.algorithms.masks.CHUNK", chunk):
        found = prune(scores, masks, fraction, allow_empty=allow_empty)
    assert as_lists(found) == as_lists(expected)
    assert all(mask.is_contiguous() for mask in found.values())


@settings(deadline=None)
@given(many_layers(), FRACTIONS, st.booleans())
def test_many_layers_pruned_apart_are_the_stable_sort_of_each(case, fraction, allow_empty):
    scores, masks, plain, chunk = case
    expected = {}
    for name in masks:
        one, mask = ({name: tensors[name]} for tensors in plain)
        expected |= slowly_pruned(one, mask, fraction, allow_empty)
    with mock.patch("prac.algorithms.masks.CHUNK", chunk):
        found = prune(scores, masks, fraction, scope="layer", allow_empty=allow_empty)
    assert as_lists(found) == as_lists(expected)


def test_rows_longer_than_a_piece_may_follow_an_empty_layer():
    scores = {"none": torch.zeros(0), "rows": torch.arange(12.0).view(6, 2).t()}
    with mock.patch("prac.algorithms.masks.CHUNK", 4):
        found = prune(scores, ones(scores), 0.75)
    assert as_lists(found) == {"none": [], "rows": [[False] * 5 + [True], [False] * 4 + [True] * 2]}


class Operations(TorchDispatchMode):
    """Counts torch's operations, views among them."""

    def __init__(self):
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.number += 1
        return func(*args, **(kwargs or {}))


def operations(layers):
    """Return how many operations pruning as many small layers takes."""
    # None is weaker than the others: of each as many weights stay.
    scores = {str(number): torch.arange(number, 8.0 * layers, layers) for number in range(layers)}
    with Operations() as counted:
        prune(scores, ones(scores), 0.2)
    return counted.number


def test_small_layers_are_looked_at_together():
    # A layer's own: its new mask, a count before and after, and a view of its scores each time that
    # all are looked at. Comparing and choosing it alone took over thirty.
    assert operations(60) - operations(40) <= 20 * 12


def test_pieces_as_large_as_they_are_used():
    weights = {
        "conv": torch.randn(512, 512, 3, 3).to(memory_format=torch.channels_last),
        "linear": torch.randn(1500, 1000),
        "half zero": torch.randn(1_000_000).clamp(min=0),
    }
    scores, masks = magnitude(weights), ones(weights)
    # The second among the zeros, of which only some go.
    for fraction in (0.7, 0.01):
        found = prune(scores, masks, fraction)
        expected = plainly_pruned(scores, masks, fraction, allow_empty=False)
        assert all(torch.equal(found[name], expected[name]) for name in masks)


@pytest.mark.parametrize("chunk", [1, 3, CHUNK])
def test_a_sample_that_meets_no_kept_weight_is_taken_anew(chunk):
    mask = torch.zeros(3000, dtype=torch.bool)
    mask[torch.arange(1, 3000, 3)] = True
    scores = {"w": torch.arange(3000.0).flip(0)}
    with mock.patch("prac.algorithms.masks.CHUNK", chunk):
        found = prune(scores, {"w": mask}, 0.25)["w"]
    assert torch.equal(found, mask & (scores["w"] >= scores["w"][mask].sort().values[250]))


def test_integers_too_large_for_floats_are_compared_exactly():
    scores = {"w": torch.tensor([2**62 + 1, 2**62, 2**62 + 2, 2**62 - 1])}
    assert prune(scores, ones(scores), 0.5)["w"].tolist() == [True, False, True, False]


def test_layers_of_different_types_are_ranked_together():
    scores = {
        "half": torch.tensor([0.1, 0.3], dtype=torch.float16),
        "full": torch.tensor([0.1] * 3),
    }
    # A tenth in half precision is a little less than one in full.
    assert float(scores["half"][0]) < float(scores["full"][0])
    assert as_lists(prune(scores, ones(scores), 0.4)) == {
        "half": [False, True],
        "full": [False, True, True],
    }


def test_a_layer_is_compared_as_what_it_is_among_all_the_others():
    # In half precision 2049 is 2048: so it would be if the first two were brought together alone.
    scores = {
        "whole": torch.tensor([2049, 2048]),
        "half": torch.tensor([1.0], dtype=torch.float16),
        "double": torch.tensor([2048.5, 0.0, 0.0, 0.0], dtype=torch.float64),
    }
    for chunk in (1, 2, 3, CHUNK):
        with mock.patch("prac.algorithms.masks.CHUNK", chunk):
            masks = prune(scores, ones(scores), 6 / 7, allow_empty=True)
        assert kept(masks) == 1
        assert masks["whole"].tolist() == [True, False]
    # And without the last they are brought together: the earlier of the equals goes.
    del scores["double"]
    masks = prune(scores, ones(scores), 2 / 3, allow_empty=True)
    assert as_lists(masks) == {"whole": [False, True], "half": [False]}


def test_what_is_not_a_number_is_named_by_its_own_layer():
    scores = {name: torch.ones(3) for name in "abcd"}
    scores["b"][1] = scores["c"][0] = scores["d"][2] = float("nan")
    masks = {**ones(scores), "b": torch.tensor([True, False, True])}
    for chunk in (1, 4, CHUNK):
        with (
            mock.patch("prac.algorithms.masks.CHUNK", chunk),
            pytest.raises(ValueError, match="layer 'c' has a kept weight whose score"),
        ):
            prune(scores, masks, 0.5)


def test_scores_that_remember_how_they_were_made_are_fine():
    weight = torch.tensor([1.0, -2.0, 3.0, 0.5], requires_grad=True)
    masks = prune({"w": weight * 2}, ones({"w": weight}), 0.5)
    assert masks["w"].tolist() == [True, False, True, False]
    assert not masks["w"].requires_grad


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_the_masks_are_the_same():
    weights = {"a": torch.randn(1200, 1000), "b": torch.randn(64, 64, 3, 3)}
    weights["c"] = torch.randint(5, (500_000,)).float()
    expected = prune(magnitude(weights), ones(weights), 0.3)
    there = {name: weight.cuda() for name, weight in weights.items()}
    found = prune(magnitude(there), ones(there), 0.3)
    assert all(mask.is_cuda for mask in found.values())
    assert all(torch.equal(found[name].cpu(), expected[name]) for name in expected)


@pytest.mark.parametrize("fraction", [-1e-9, 1 + 1e-9, float("nan")])
def test_a_fraction_outside_its_bounds_is_refused(fraction):
    scores = {"a": torch.ones(2)}
    with pytest.raises(ValueError, match="expected a share from 0 to 1"):
        prune(scores, ones(scores), fraction)


def test_a_score_that_is_not_a_number_is_refused_where_its_weight_is_kept():
    scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([float("nan"), 1.0])}
    with pytest.raises(ValueError, match="layer 'b' has a kept weight whose score"):
        prune(scores, ones(scores), 0.25)
    masks = {**ones(scores), "b": torch.tensor([False, True])}
    assert prune(scores, masks, 0.4)["b"].tolist() == [False, True]


def test_layers_that_differ_are_named():
    scores = {"a": torch.ones(2), "b": torch.ones(2)}
    with pytest.raises(ValueError, match=r"layers differ: \['b', 'c'\]"):
        prune(scores, {"a": scores["a"].bool(), "c": scores["b"].bool()}, 0.2)
    with pytest.raises(ValueError, match=r"layer 'b' has shapes \(2,\) and \(3,\)"):
        prune(scores, {"a": scores["a"].bool(), "b": torch.ones(3).bool()}, 0.2)


def test_no_layers_are_pruned_to_none():
    assert prune({}, {}, 0.2) == {}
    assert density({}) == 1


def test_random_scores_depend_on_the_seed_and_the_shapes_alone():
    first = {"a": torch.zeros(100), "b": torch.zeros(10, 10)}
    second = {"a": torch.randn(100), "b": torch.randn(10, 10)}
    state = torch.get_rng_state()
    scores = random_scores(first, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    again = random_scores(second, seed=0)
    assert all(torch.equal(scores[name], again[name]) for name in scores)
    assert not torch.equal(scores["a"], scores["b"].view(-1))
    assert not torch.equal(scores["a"], random_scores(first, seed=1)["a"])
    assert all(((s >= 0) & (s < 1)).all() for s in scores.values())


def test_counts_to_come_by_hand():
    # Half of 15 is 7.5, which goes to even: 8; of 7 4, of 3 2, and then two layers keep one each.
    assert kept_per_level([10, 5], 0.5, 4, scope="global", allow_empty=False) == [15, 7, 3, 2, 2]
    # By layer: 10, 5, 3, 1, 1 and 5, 3, 1, 1, 1.
    assert kept_per_level([10, 5], 0.5, 4, scope="layer", allow_empty=False) == [15, 8, 4, 2, 2]
    assert kept_per_level([3], 1.0, 2, scope="global", allow_empty=True) == [3, 0, 0]
    assert kept_per_level([3, 2], 1.0, 2, scope="layer", allow_empty=False) == [5, 2, 2]
    assert kept_per_level([], 0.5, 2, scope="global", allow_empty=False) == [0, 0, 0]
    assert kept_per_level([7], 0.5, 0, scope="layer", allow_empty=True) == [7]


@given(
    sizes=st.lists(st.integers(1, 30), max_size=5),
    fraction=FRACTIONS,
    prunings=st.integers(0, 12),
    scope=st.sampled_from(["global", "layer"]),
    allow_empty=st.booleans(),
    seed=st.integers(0, 5),
)
def test_counts_to_come_are_those_of_really_pruning(
    sizes, fraction, prunings, scope, allow_empty, seed
):
    weights = {str(i): torch.zeros(size) for i, size in enumerate(sizes)}
    masks = ones(weights)
    counts = [kept(masks)]
    for number in range(prunings):
        # The scores change from one pruning to the next, as they do when weights are trained.
        scores = random_scores(weights, seed + number)
        masks = prune(scores, masks, fraction, scope=scope, allow_empty=allow_empty)
        counts.append(kept(masks))
    found = kept_per_level(sizes, fraction, prunings, scope=scope, allow_empty=allow_empty)
    assert found == counts
