"""The scenarios of a build that goes well, is changed, fails, is interrupted; each in its feature file."""

from pytest_bdd import scenarios

scenarios("features/build.feature", "features/part.feature", "features/failing.feature", "features/interrupted.feature")
scenarios("features/inputs.feature", "features/secrets.feature")
