// tlsserve serves TLS on ports and requires client certificates. It loads its key pairs once, at start.
//
// Each argument is one port: PORT:VERSIONS:FOLDER[,FOLDER...]. VERSIONS is 1.2, 1.3 or any. A FOLDER holds tls.crt,
// tls.key and ca.crt as a mounted Secret of cert-manager does; of several, the one whose certificate fits the server
// name that the client asks for is presented, else the first.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"strings"
)

var versions = map[string][2]uint16{
	"1.2": {tls.VersionTLS12, tls.VersionTLS12},
	"1.3": {tls.VersionTLS13, tls.VersionTLS13},
	"any": {tls.VersionTLS12, tls.VersionTLS13},
}

func main() {
	for _, argument := range os.Args[1:] {
		port, rest, _ := strings.Cut(argument, ":")
		version, folders, _ := strings.Cut(rest, ":")
		go serve(port, configure(versions[version], strings.Split(folders, ",")))
	}
	select {}
}

func configure(version [2]uint16, folders []string) *tls.Config {
	config := &tls.Config{
		MinVersion: version[0],
		MaxVersion: version[1],
		ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs:  x509.NewCertPool(),
		NextProtos: []string{"h2"},
	}
	for _, folder := range folders {
		pair, err := tls.LoadX509KeyPair(folder+"/tls.crt", folder+"/tls.key")
		if err != nil {
			log.Fatal(err)
		}
		authority, err := os.ReadFile(folder + "/ca.crt")
		if err != nil {
			log.Fatal(err)
		}
		config.ClientCAs.AppendCertsFromPEM(authority)
		config.Certificates = append(config.Certificates, pair)
	}
	return config
}

func serve(port string, config *tls.Config) {
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("serving on %s", port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go greet(connection, config)
	}
}

// greet does what Go's own servers do with a handshake that fails: a connection that merely ended is no failed client.
func greet(connection net.Conn, config *tls.Config) {
	defer connection.Close()
	if err := tls.Server(connection, config).Handshake(); err != nil && !errors.Is(err, io.EOF) {
		log.Printf("failed client: %v", err)
	}
}
