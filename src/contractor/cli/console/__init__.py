"""Events -> what a person sees of builds that run."""
