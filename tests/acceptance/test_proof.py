"""The scenarios of proving what was built."""

from pytest_bdd import scenarios

scenarios("features/verify.feature")
