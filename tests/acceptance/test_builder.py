"""The scenarios of the builder daemon and its client."""

from pytest_bdd import scenarios

scenarios("features/builder.feature")
