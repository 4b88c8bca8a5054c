"""A recovery by what the command line calls it: a network, the decoder of the tower, or a server."""

import os
from pathlib import Path

from demo import settings
from demo.recovery.attempt import Recovery
from demo.recovery.network import load_network
from demo.recovery.server import Server, ServerRecovery
from training.recover_decoder import DECODER, DecoderRecovery


def load_recovery(source: str | Path) -> Recovery:
    """A folder or file of a recovery network, a folder of ``training.recover_decoder``, or ``MODEL@URL``.

    Raises:
        CheckpointError: there is none.
        ValueError: a server's address that cannot be read.
    """
    source = str(source)
    if "@http" in source:
        variables = (os.environ.get(name) for name in (settings.RECOVERY_KEY, settings.RECOVERY_REQUEST))
        return ServerRecovery(Server.parse(source, *variables))
    if (Path(source) / DECODER).exists():
        return DecoderRecovery(Path(source))
    return load_network(source)
