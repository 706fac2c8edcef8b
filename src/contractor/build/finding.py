"""Is there a finished result for an action, made on what is below it now?

A key says what went in. But a step that is run anew may leave something else under the same key (a random name, a
time), and what was made on what it left before then continues something that is gone. So each result remembers which
builds made what it stands on, and is found only on these.
"""

from __future__ import annotations

from contractor.plan.model import Action
from contractor.store.results import Result, Results

_BELOW = ("workspace", "tree", "artifact")  # inputs that name what another action made


class Finder:
    """The results of one plan's actions, asked for in their order."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._makers: dict[str, str] = {}

    def below(self, action: Action) -> dict[str, str]:
        """The builds that made what an action stands on, by the input that names it."""
        names = {field: str(action.inputs[field]) for field in _BELOW if action.inputs.get(field)}
        return {field: self._makers[key] for field, key in names.items() if key in self._makers}

    def find(self, action: Action) -> Result | None:
        """The action's result, if it finished, is all there, and was made on what is below it now."""
        result = self._results.find(action.key)
        if result is None or (result.below and result.below != self.below(action)):
            return None
        self._makers[action.key] = result.build
        return result

    def made(self, action: Action, build: str) -> None:
        """The action has been run by a build."""
        self._makers[action.key] = build
