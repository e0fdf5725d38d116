"""One thin module a verb: parse arguments, load, call, save."""
