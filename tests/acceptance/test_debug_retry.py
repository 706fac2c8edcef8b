"""The scenarios of steps that are run again, and of watched builds."""

from pytest_bdd import scenarios

scenarios("features/retry.feature", "features/watch.feature")
