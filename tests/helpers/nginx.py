"""A real nginx on loopback in front of a service."""

import contextlib
import os
import shutil
import socket
import subprocess

from tests.helpers import ROOT
from tests.helpers.search_app import wait_for

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
ABSENT = "there is no nginx here (Debian's package nginx)"
CONFIG = ROOT / "proxy" / "nginx.conf"

# All that nginx writes lies in one folder, and a worker of root stays root to write there.
_MAIN = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/server.conf;
}}
"""


@contextlib.contextmanager
def in_front_of(address, folder, config=None):
    """Run nginx with the project's configuration, or another one; yield its address.

    `listen 80` and `http://app:8000` of the configuration become places on loopback.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        here = f"127.0.0.1:{free.getsockname()[1]}"
    config = CONFIG.read_text() if config is None else config
    for before, after in (("listen 80;", f"listen {here};"), ("http://app:8000", address)):
        assert config.count(before) == 1, before
        config = config.replace(before, after)
    folder.mkdir(parents=True)
    (folder / "server.conf").write_text(config)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))
    with subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf"]) as running:
        try:
            wait_for(f"http://{here}/")
            yield f"http://{here}"
        finally:
            running.terminate()
    assert not (folder / "error.log").read_text()
