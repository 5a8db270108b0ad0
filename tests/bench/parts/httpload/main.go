// httpload asks a server for the same page again and again, over connections that it keeps, and prints as JSON how long
// each answer took and how many bytes it had.
//
// Usage: httpload URL CONNECTIONS REQUESTS [gzip]. The answers are read to their end and thrown away; what is gzipped
// stays so.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type result struct {
	Seconds []float64 `json:"seconds"`
	Bytes   int64     `json:"bytes"`
}

func main() {
	url := os.Args[1]
	connections, _ := strconv.Atoi(os.Args[2])
	requests, _ := strconv.Atoi(os.Args[3])
	gzipped := len(os.Args) > 4
	client := &http.Client{Transport: &http.Transport{
		DisableCompression:  true,
		MaxIdleConnsPerHost: connections,
		ReadBufferSize:      256 << 10,
	}}
	results := make([]float64, requests)
	var next, size atomic.Int64
	var working sync.WaitGroup
	for range connections {
		working.Go(func() {
			buffer := make([]byte, 256<<10)
			for {
				number := next.Add(1) - 1
				if number >= int64(requests) {
					return
				}
				started := time.Now()
				size.Store(ask(client, url, gzipped, buffer))
				results[number] = time.Since(started).Seconds()
			}
		})
	}
	working.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(result{results, size.Load()}); err != nil {
		log.Fatal(err)
	}
}

func ask(client *http.Client, url string, gzipped bool, buffer []byte) int64 {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	if gzipped {
		request.Header.Set("Accept-Encoding", "gzip")
	}
	answer, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		log.Fatalf("%s answered %s", url, answer.Status)
	}
	var size int64
	for {
		count, err := answer.Body.Read(buffer)
		size += int64(count)
		if err == io.EOF {
			return size
		}
		if err != nil {
			log.Fatal(err)
		}
	}
}
