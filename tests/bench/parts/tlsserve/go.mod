// A TLS server that loads its key pairs once, as most do.
module certlag.dev/bench/tlsserve

go 1.26.0
