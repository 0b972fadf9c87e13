"""Two servers behind nginx are replaced while clients ask, and no request is lost."""

from pathlib import Path

import pytest

from sightline_lab.load_test import local_proxy, rolling_update, run_load_test
from sightline_lab.load_test.server_process import LoadError
from tests.support import serving, tiny

ROOT = Path(__file__).resolve().parents[2]
NO_NGINX = pytest.mark.skipif(
    not local_proxy.NGINX, reason="there is no nginx here: no rolling update is tried"
)


@pytest.fixture
def asked():
    pictures = [serving.url(serving.png(rgb)) for rgb in tiny.pictures(4)]
    return [
        run_load_test.body(url, text, root_path=local_proxy.ROOT_PATH)
        for url, text in zip(pictures, tiny.QUESTIONS, strict=True)
    ]


@NO_NGINX
def test_no_request_is_lost_while_servers_are_replaced(bundle, asked):
    result = rolling_update.measure(bundle, asked, 200, 2, 4)
    assert result["lost"] == 0 and result["statuses"] == {"200": result["requests"]}
    assert result["requests"] >= 200 and result["replaced"] >= 2
    assert result["asked_again"] > 0  # or nothing was tried


@NO_NGINX
def test_a_proxy_that_asks_no_other_server_loses_requests(bundle, asked, monkeypatch, tmp_path):
    """What the figure above stands on: without this line of the file it is another one."""
    text = (ROOT / rolling_update.SITE).read_text(encoding="utf-8")
    line = "proxy_next_upstream error timeout http_503 non_idempotent;"
    assert line in text
    (tmp_path / "site.conf").write_text(text.replace(line, "proxy_next_upstream off;"))
    monkeypatch.setattr(rolling_update, "SITE", tmp_path / "site.conf")
    assert rolling_update.measure(bundle, asked, 200, 1, 4)["lost"] > 0


@NO_NGINX
def test_a_server_that_does_not_start_is_told_and_the_clients_end(asked, tmp_path):
    with pytest.raises(LoadError, match="does not serve"):
        rolling_update.measure(tmp_path, asked, 200, 2, 4)
