"""Requests as five real clients send them, and the command that explains them."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from antiscrape.cli import main

SECRET = "kx8Jc0v9QmZ2rT5yWb7uEh3nLp6sAd1f"

CURL = """\
* Host photos.example:443 was resolved.
> GET /media/1281.jpg HTTP/1.1
> Host: photos.example
> User-Agent: curl/7.88.1
> Accept: */*
>\x20
< HTTP/1.1 200 OK
< content-type: image/jpeg
{ [5 bytes data]
"""
REQUESTS = """\
GET /media/1300.jpg HTTP/1.1\r
Host: photos.example\r
User-Agent: python-requests/2.34.2\r
Accept-Encoding: gzip, deflate, br\r
Accept: */*\r
Connection: keep-alive\r
\r
"""
CHROMIUM = """\
GET /media/1300.jpg HTTP/1.1
Host: photos.example
Connection: keep-alive
sec-ch-ua-platform: "Linux"
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"
sec-ch-ua-mobile: ?0
Accept: image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: no-cors
Sec-Fetch-Dest: image
Referer: https://photos.example/
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-US,en;q=0.9
"""
FIREFOX = """\
GET /media/1300.jpg HTTP/1.1
Host: photos.example
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0
Accept: image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5
Accept-Language: en-US,en;q=0.9
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
Referer: https://photos.example/
Sec-Fetch-Dest: image
Sec-Fetch-Mode: no-cors
Sec-Fetch-Site: same-origin
Priority: u=5, i
"""
LYNX = """\
GET /u/ada HTTP/1.0
Host: photos.example
Accept: text/html, text/plain, text/sgml, text/css, */*;q=0.01
Accept-Encoding: gzip, bzip2
Accept-Language: en
User-Agent: Lynx/2.9.0dev.12 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.8
"""
BROWSERS_TOOLS = """\
:authority: photos.example
:method: GET
:path: /media/1300.jpg
:scheme: https
accept: image/avif,image/webp,*/*;q=0.8
user-agent: python-requests/2.34.2
"""


def explain(text: str | bytes, *arguments: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["explain", *arguments], input=text, env={"ANTISCRAPE_SECRET": SECRET})
    assert done.exit_code == status, done.output
    assert "Traceback" not in done.output
    return done.output


def story(text: str, *arguments: str) -> dict[str, object]:
    told = json.loads(explain(text, "--json", *arguments))
    assert isinstance(told, dict)
    return told


def paragraphs(output: str) -> dict[str, str]:
    """Return each paragraph's text by its title, on one line."""
    told: dict[str, str] = {}
    title = ""
    for line in output.splitlines()[1:]:
        title = line[:10].strip() or title
        told[title] = re.sub(r"\s+", " ", f"{told.get(title, '')} {line[10:]}").strip()
    return told


def request(target: str, head: str = CHROMIUM, **more: object) -> str:
    return json.dumps(
        {"target": target, "headers": [line.split(": ", 1) for line in head.splitlines()[1:]], **more}
    )


def person(pictures: int) -> str:
    """Return the requests of somebody who looks at one photo page after the other, small pictures and all."""
    lines = [request("/static/site.css")]
    for number in range(pictures):
        name = number * 37 % 1000
        lines += [request(f"/photo/{name}", answer="page"), request(f"/thumbs/{name}.jpg")]
        lines += [request(f"/media/{name}.jpg", answer="original")]
    return "\n".join(lines)
