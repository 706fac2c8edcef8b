"""The scenarios of shells in a step's sandbox."""

from pytest_bdd import scenarios

scenarios("features/shell.feature")
