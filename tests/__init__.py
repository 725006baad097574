"""A package, so that it comes before one of the same name that a library of a game installs beside it."""
