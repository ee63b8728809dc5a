# Varnish in front of a photo site, with antiscrape beside it: Varnish keeps and serves the originals, antiscrape says
# who gets them.
#
#   antiscrape verdict --listen 127.0.0.1:8079 --upstream http://127.0.0.1:8000
#
# and in its policy, so that Varnish may ask and is believed about its clients:
#
#   [identity]
#   trusted_proxies = ["127.0.0.1"]
#
#   [[routes]]                     # pictures whose size a route tells are judged before anything is read
#   pattern = "/photos/**"
#   kind = "image"
#   size = "original"
#
# No VMOD but std is needed. Every request goes round twice: first as a question to antiscrape, then, restarted, to the
# site (or to what Varnish kept of it), or to antiscrape. Check with: varnishd -C -f /etc/varnish/varnish.vcl

vcl 4.1;

import std;

backend site {
    .host = "127.0.0.1";
    .port = "8000";
}

backend antiscrape {
    .host = "127.0.0.1";
    .port = "8079";
    .connect_timeout = 1s;
    .first_byte_timeout = 75s;
}

sub vcl_recv {
    if (req.restarts == 0) {
        # What is said here is ours to say; a client that says it is not heard.
        unset req.http.X-Antiscrape-Take;
        unset req.http.X-Antiscrape-Cache;
        set req.http.X-Antiscrape-Step = "ask";
        set req.http.X-Forwarded-For = client.ip;
        set req.http.X-Forwarded-Proto = "http";     # "https" where TLS ends before Varnish
        set req.http.X-Original-URI = req.url;
        set req.http.X-Original-Method = req.method;

        # A body is kept for the second round. What is longer fails with 503: let uploads go past Varnish.
        if (req.method != "GET" && req.method != "HEAD" && !std.cache_req_body(1MB)) {
            return (synth(413));
        }
        set req.backend_hint = antiscrape;
        return (pass);
    }

    if (req.http.X-Antiscrape-Step == "take") {
        set req.backend_hint = antiscrape;
        return (pass);
    }
    if (req.http.X-Antiscrape-Step != "site") {
        return (synth(503));
    }
    # Allowed. From here on as without antiscrape: add your own rules, or leave the rest to Varnish's.
    set req.backend_hint = site;
}

sub vcl_backend_fetch {
    if (bereq.http.X-Antiscrape-Step == "ask") {
        set bereq.url = "/.antiscrape/verdict";
        set bereq.method = "GET";                    # a kept body goes along, and is not read
    } else {
        unset bereq.http.X-Original-URI;
        unset bereq.http.X-Original-Method;
    }
    unset bereq.http.X-Antiscrape-Step;
    unset bereq.http.X-Antiscrape-Cache;
}

sub vcl_deliver {
    if (req.http.X-Antiscrape-Step == "ask") {
        if (resp.status == 200) {
            set req.http.X-Antiscrape-Step = "site";
            set req.http.X-Antiscrape-Cache = resp.http.X-Antiscrape-Cache-Control;
            return (restart);
        }
        if (resp.status == 401 && resp.http.X-Antiscrape-Take) {
            set req.http.X-Antiscrape-Step = "take";
            set req.http.X-Antiscrape-Take = resp.http.X-Antiscrape-Take;
            return (restart);
        }
        # 403: refused. Anything else: antiscrape is away, and nothing is served that it did not allow.
        return (deliver);
    }
    # Varnish asks before every answer, so it may keep a picture; a cache in front of it asks nobody.
    if (req.http.X-Antiscrape-Cache) {
        set resp.http.Cache-Control = req.http.X-Antiscrape-Cache;
        unset resp.http.Surrogate-Control;
        unset resp.http.Expires;
        unset resp.http.Age;
    }
}
