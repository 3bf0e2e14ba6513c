# SPDX-License-Identifier: GPL-2.0-or-later
#
# A Varnish (6.0 or later) in front of segfarm that keeps what many ask for. Any number of clients that want one cold segment make one
# request to segfarm. How long something may be kept segfarm says itself (Cache-Control): segments for ever, playlists for seconds until
# all is made; 503 with Retry-After is passed on and not kept. Signed URLs are passed through: each is checked by segfarm. Start segfarm
# with a --max-connections-per-address that lets this one have as many as it needs.
vcl 4.1;

backend segfarm {
	.host = "127.0.0.1";
	.port = "8090";
	# longer than segfarm lets a request wait (30 s)
	.first_byte_timeout = 40s;
	.between_bytes_timeout = 40s;
}

sub vcl_recv {
	# API, pages and metrics are not for everybody
	if (req.url !~ "^/(hls|stream)/") {
		return (synth(404));
	}
	if (req.method != "GET" && req.method != "HEAD" && req.method != "OPTIONS") {
		return (synth(405));
	}
	unset req.http.Cookie;
	# made while it is played, for each player its own
	if (req.url ~ "^/stream/") {
		return (pipe);
	}
	if (req.method == "OPTIONS" || req.url ~ "[?&]s=") {
		return (pass);
	}
	return (hash);
}

sub vcl_hash {
	# under whatever name this server is asked
	hash_data(req.url);
	return (lookup);
}

sub vcl_backend_response {
	if (beresp.status >= 400 || beresp.http.Cache-Control ~ "private") {
		# those who wait ask for themselves, and so does who comes a second later; a signed URL may have hidden its s= (%73=)
		set beresp.uncacheable = true;
		set beresp.ttl = 1s;
		return (deliver);
	}
	# while segfarm is away; segments never change
	if (bereq.url ~ "\.(m4s|mp4|vtt)$") {
		set beresp.grace = 1d;
	} else {
		set beresp.grace = 2s;
	}
	return (deliver);
}

sub vcl_deliver {
	if (obj.hits > 0) {
		set resp.http.X-Cache = "HIT";
	} else {
		set resp.http.X-Cache = "MISS";
	}
}
