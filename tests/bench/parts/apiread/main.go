// GETs one path of the Kubernetes API with the pod's own token and CA, and prints the body.
//
// Exit 0 for a 2xx answer, 1 for any other, 2 where no answer came: busybox's wget can't verify TLS, so it
// could not tell a working kube-proxy from an impostor.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const mounted = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	if len(os.Args) != 2 {
		fail("usage: apiread PATH, as in apiread /api/v1/namespaces")
	}
	authority, err := os.ReadFile(mounted + "ca.crt")
	if err != nil {
		fail("the pod's CA: %v", err)
	}
	token, err := os.ReadFile(mounted + "token")
	if err != nil {
		fail("the pod's token: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		fail("%sca.crt holds no certificate", mounted)
	}
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequest(http.MethodGet, "https://"+address+os.Args[1], nil)
	if err != nil {
		fail("the request: %v", err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	}
	answer, err := client.Do(request)
	if err != nil {
		fail("GET %s: %v", os.Args[1], err)
	}
	defer answer.Body.Close()
	if _, err := io.Copy(os.Stdout, answer.Body); err != nil {
		fail("the answer to GET %s: %v", os.Args[1], err)
	}
	if answer.StatusCode/100 != 2 {
		fmt.Fprintf(os.Stderr, "apiread: GET %s: %s\n", os.Args[1], answer.Status)
		os.Exit(1)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "apiread: "+format+"\n", values...)
	os.Exit(2)
}
