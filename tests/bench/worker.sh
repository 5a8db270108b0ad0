#!/bin/sh
# A worker of the build service: runs one build after the other, as its own certificate allows.
#
# Told to stop, it finishes the build in progress, writes down its outcome and only then exits 0. It is told by a file that
# the pod's preStop hook makes: a SIGTERM that comes before the shell has set its trap is lost, since the kernel keeps
# signals without a handler from process 1. The shell runs a trap after the command in the foreground has ended. Each outcome is one line, to stdout and to a file on the
# node that outlives the pod: pod, start and end in seconds, exit code, and whether it was told to stop meanwhile.
trap 'touch /tmp/stopping' TERM
number=0
while [ ! -e /tmp/stopping ]; do
	number=$((number + 1))
	start=$(date +%s)
	echo "begin $POD_NAME $number $start" >>"$OUTCOMES/begun"
	# buildctl reads the certificate again for each build. No DNS here: the address is the Service's.
	buildctl --addr "tcp://$OPSCHAIN_BUILD_SERVICE_SERVICE_HOST:$OPSCHAIN_BUILD_SERVICE_SERVICE_PORT" \
		--tlsservername opschain-build-service \
		--tlscacert /certificate/ca.crt --tlscert /certificate/tls.crt --tlskey /certificate/tls.key \
		build --frontend dockerfile.v0 --local context=/context --local dockerfile=/context \
		--opt build-arg:SECONDS="$BUILD_SECONDS" --opt build-arg:NONCE="$POD_NAME-$number" \
		--progress plain >/tmp/build.log 2>&1
	code=$?
	stopping=no
	[ ! -e /tmp/stopping ] || stopping=yes
	outcome="{\"pod\":\"$POD_NAME\",\"start\":$start,\"end\":$(date +%s),\"exit\":$code,\"stopping\":\"$stopping\"}"
	echo "$outcome" | tee -a "$OUTCOMES/outcomes"
	if [ "$code" -ne 0 ]; then
		tail -n 5 /tmp/build.log >&2
		# A build service that refuses is asked again, but not as fast as it can refuse.
		[ "$stopping" = yes ] || sleep 1
	fi
done
exit 0
