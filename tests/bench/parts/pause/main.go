// Waits for a signal and reaps what is orphaned to it: the first process of a PID namespace.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for {
		// Before waiting too: a child may have ended before the signals were asked for.
		for {
			reaped, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil || reaped <= 0 {
				break
			}
		}
		if received := <-signals; received != syscall.SIGCHLD {
			return
		}
	}
}
