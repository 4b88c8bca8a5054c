"""Recover first, then reason: a picture is restored, shown, and asked about beside the degraded one."""
