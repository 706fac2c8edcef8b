"""contractor schema: the JSON Schema of contractor.yaml, for editors that complete and check."""

from __future__ import annotations

import msgspec

from contractor.cli.options import Parser
from contractor.cli.output import put, talk
from contractor.core.errors import Rejected
from contractor.spec.schema import json_schema


def parser() -> Parser:
    made = Parser("schema", "Print the JSON Schema of contractor.yaml.")
    made.add_argument("--output", "-o", metavar="FILE", help="write it there")
    return made


def run(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    text = msgspec.json.format(msgspec.json.encode(json_schema()), indent=2).decode()
    if args.output is None:
        put([text])
        return 0
    try:
        with open(args.output, "w", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        raise Rejected(f"{args.output} cannot be written: {error.strerror}", hint="choose another --output") from error
    talk(f"first line of contractor.yaml, for editors: # yaml-language-server: $schema={args.output}")
    return 0
