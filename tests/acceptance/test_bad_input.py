"""The scenarios of bad input and bad surroundings: a clear answer, and nothing lost."""

from pytest_bdd import scenarios

scenarios("features/bad_specification.feature", "features/bad_network.feature", "features/names.feature")
scenarios("features/disk.feature", "features/surroundings.feature")
