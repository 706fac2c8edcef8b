"""The scenarios of locks, of builds without network, and of capsules."""

from pytest_bdd import scenarios

scenarios("features/lock.feature", "features/offline.feature", "features/capsule.feature")
