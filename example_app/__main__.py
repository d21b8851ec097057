"""Starts the example: makes what is missing, imports the demonstration once, and answers on
127.0.0.1.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import waitress

from . import create_app
from .mailchimp_standin import MailchimpStandIn
from .setup import set_up


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(prog="python3 -m example_app", description=__doc__)
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument(
        "--instance",
        type=Path,
        default=Path(os.environ.get("KALIGO_INSTANCE", "instance")),
        help="databases, keys and trail",
    )
    given = parser.parse_args()
    given.instance.mkdir(parents=True, exist_ok=True, mode=0o700)
    mailchimp = MailchimpStandIn(given.instance)
    mailchimp.start()
    recipients = {"mailchimp": {"base_url": mailchimp.base_url, "ca_file": str(mailchimp.ca_file)}}
    app = create_app(given.instance, {"LGPRIVACY_RECIPIENTS": recipients})
    set_up(app)
    try:
        server = waitress.create_server(app, host="127.0.0.1", port=given.port, threads=8)
    except OSError as fault:
        parser.exit(1, f"port {given.port}: {fault.strerror}; choose another with --port\n")
    print(
        f"http://127.0.0.1:{given.port}/ says which accounts can be tried; Ctrl-C ends", flush=True
    )
    server.run()


if __name__ == "__main__":
    main()
