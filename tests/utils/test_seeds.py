"""Seeds: the same on every machine and for ever, and nothing of the caller's is disturbed."""

import torch

from prac.utils import derive_seed, generator, seeded

ORDER, NORMS = 3_560_704_936_019_802_908, 5_705_786_617_223_044_419


def test_a_derive_seed_never_changes():
    # Written down once: a change here would make every earlier run another one.
    assert derive_seed(0, "order", 1) == ORDER
    assert derive_seed("norms") == NORMS


def test_a_generator_is_seeded_with_a_seed_or_with_what_the_parts_derive():
    assert generator(7).initial_seed() == 7
    assert generator(0, "order", 1).initial_seed() == ORDER


def test_torchs_own_generator_is_put_back():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with seeded(5):
        drawn = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(2), drawn)
