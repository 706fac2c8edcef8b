"""The one-file HTML report of a build: record, plan, events and logs -> values (collect) -> a page (page)."""
