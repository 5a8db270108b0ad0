module certlag.dev/bench/httpload

go 1.26
