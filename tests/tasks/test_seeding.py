"""Seeds of episodes."""

import itertools

from surefoot.tasks import episode_seed


def test_episode_seed_is_pinned():
    assert episode_seed("cheetah-run", 0, "train", 0) == 1469972426


def test_episode_seeds_differ_and_are_in_range():
    names, seeds, streams, episodes = ("cheetah-run", "dog-run"), (0, 1, 2**31 - 1), ("train", "evaluate"), range(50)
    drawn = [episode_seed(*arguments) for arguments in itertools.product(names, seeds, streams, episodes)]
    assert len(set(drawn)) == len(drawn)
    assert all(0 <= seed < 2**31 for seed in drawn)


def test_seed_and_episode_are_not_interchangeable():
    assert episode_seed("cheetah-run", 1, "train", 2) != episode_seed("cheetah-run", 2, "train", 1)
