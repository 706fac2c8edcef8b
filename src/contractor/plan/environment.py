"""The environment of a step, made from nothing: the same list on every machine. The list is data."""

from __future__ import annotations

from contractor.plan.model import Facts
from contractor.spec.model import Step

FIXED = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/build",
    "USER": "build",
    "LOGNAME": "build",
    "SHELL": "/bin/sh",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "WORKSPACE": "/workspace",
}
PROXY_URL = "http://127.0.0.1:3128"
PROXY = {
    **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), PROXY_URL),
    **dict.fromkeys(("no_proxy", "NO_PROXY"), ""),
}


def shell_environment(build: str, step: Step, facts: Facts) -> dict[str, str]:
    """What a shell or custom step sees; the step's own `env` (parameters among it) comes on top."""
    made = {
        **FIXED,
        "SOURCE_DATE_EPOCH": str(facts.epoch),
        "CONTRACTOR_NAME": build,
        "CONTRACTOR_STEP": step.name,
        "CONTRACTOR_ARCH": facts.arch,
    }
    for name, value in facts.matrix.items():
        made["CONTRACTOR_MATRIX_" + "".join(c if c.isalnum() else "_" for c in name).upper()] = value
    if step.network:
        made.update(PROXY)
    return {**made, **step.env}
