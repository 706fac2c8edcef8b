"""The scenarios of what a release manager does: several builds at once, and upgrade kits."""

from pytest_bdd import scenarios

scenarios("features/jobs.feature", "features/iuk.feature")
