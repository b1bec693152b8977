"""Reach the service through a real nginx, with the configuration that the project ships."""

import io
import re

import httpx
import numpy as np
import pytest
from PIL import Image

from cir.app.settings import Settings, host_names
from tests.helpers import nginx
from tests.helpers.search_app import colour_service, ids, running

pytestmark = [
    pytest.mark.recipes,
    pytest.mark.skipif(nginx.NGINX is None, reason=nginx.ABSENT),
]

# The prefix is taken off by nginx, and the Host header is nginx's own, as it is by default.
STRIPPING = """
server {
    listen 80;
    location /album/ { proxy_pass http://app:8000/; }
}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with colour_service(tmp_path_factory.mktemp("app")) as service:
        yield service


def ask(client, **options):
    return client.post("search/text", json={"text": "red"}, **options)


def test_the_shipped_configuration(service, tmp_path):
    hosts = host_names([], local=True)
    settings = Settings(base_path="/photos", hosts=hosts, token="long-enough")
    with (
        running(service, settings) as address,
        nginx.in_front_of(address, tmp_path / "nginx") as front,
        httpx.Client(base_url=f"{front}/photos/", follow_redirects=True) as client,
    ):
        assert httpx.get(f"{front}/photos").headers["location"] == "/photos/"
        assert ask(client).status_code == 401
        assert client.head("healthz").status_code == 200
        opened = client.get("?token=long-enough&q=red", headers={"x-forwarded-proto": "https"})
        assert (opened.status_code, str(opened.url)) == (200, f"{front}/photos/?q=red")
        assert [cookie.path for cookie in client.cookies.jar] == ["/photos"]
        assert "secure" not in opened.history[0].headers["set-cookie"].lower()  # nginx says http
        found = ask(client, headers={"origin": front})
        assert found.json()["hits"][0]["id"] == ids(service)["red"]
        assert client.get(front + found.json()["hits"][0]["image"]).status_code == 200
        assert ask(client, headers={"origin": "http://evil.example"}).status_code == 403
        large = upload_of(6)
        assert len(large) > 6e6
        assert client.post("search/image", files={"image": large}).status_code == 200
        refused = client.post("search/image", files={"image": bytes(20_500_000)})
        assert refused.status_code == 413
        assert "error" in refused.json()  # the service's sentence, not a page of nginx


def test_a_proxy_that_strips_the_path_and_sends_another_host(service, tmp_path):
    names = ("127.0.0.2",)
    settings = Settings(hosts=host_names(names, local=True), origins=names)
    with (
        running(service, settings) as address,
        nginx.in_front_of(address, tmp_path / "nginx", STRIPPING) as front,
        httpx.Client(base_url=f"{front}/album/") as client,
    ):
        page = client.get("?q=red")
        (thumbnail, *_) = re.findall(r'src="(thumbnails/[^"]+)"', page.text)
        assert client.get(thumbnail).headers["content-type"] == "image/jpeg"
        assert ask(client, headers={"origin": "http://127.0.0.2:8080"}).status_code == 200
        assert ask(client, headers={"origin": front}).status_code == 403  # not an allowed name


def upload_of(megabytes):
    """Return a PNG of noise, which cannot be made smaller."""
    side = int((megabytes * 1e6 / 3) ** 0.5) + 1
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()
