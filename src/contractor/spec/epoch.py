"""The `epoch:` of a specification: seconds since 1970, or the integer parameter that gives them.

SOURCE_DATE_EPOCH is the name that everybody knows for such a parameter, so it may be one's name, if it is the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable

from contractor.spec import references
from contractor.spec.model import Parameter
from contractor.spec.nodes import Node
from contractor.spec.problems import did_you_mean, shown


def load_epoch(node: Node | None) -> int | str | None:
    """Seconds, or the text `${NAME}`; None when there is none, or after a problem."""
    if node is None:
        return None
    if references.only_name(node.text):
        return node.text
    return node.integer("epoch")


def check_epoch(node: Node | None, epoch: int | str | None, parameters: Iterable[Parameter]) -> None:
    """Tell an epoch that names what is no integer parameter."""
    if node is None or not isinstance(epoch, str):
        return
    known = {parameter.name: parameter for parameter in parameters}
    name = references.only_name(epoch)
    if name not in known:
        node.problem(
            f"epoch names {shown(name)}, which is no parameter",
            did_you_mean(name, known, "" if known else "there are no parameters"),
        )
    elif known[name].type != "integer":
        node.problem(
            f"the parameter {name} is a {known[name].type}, not an integer", f"write {name}: {{type: integer}}"
        )
