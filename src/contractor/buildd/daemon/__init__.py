"""The daemon: what a manager talks to. It reads nothing that a build writes."""
