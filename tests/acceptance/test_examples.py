"""The examples that ship with Contractor, built by root and by an ordinary user."""

from pytest_bdd import scenarios

scenarios("features/examples.feature")
