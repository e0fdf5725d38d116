"""Models: one file each, behind the protocol in `protocol`."""
