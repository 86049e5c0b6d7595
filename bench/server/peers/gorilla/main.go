// bench/server/peers/gorilla: gorilla/websocket on one processor: `gorilla PORT MODE [CERT KEY]`. It compresses each
// message by itself: without context takeover.
package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/gorilla/websocket"
)

const soReusePort = 15

type hub struct {
	sync.Mutex
	all map[*member]bool
}

// A connection has one writer at a time, which gorilla asks for.
type member struct {
	sync.Mutex
	ws *websocket.Conn
}

func echo(ws *websocket.Conn) {
	for {
		kind, message, err := ws.ReadMessage()
		if err != nil || ws.WriteMessage(kind, message) != nil {
			return
		}
	}
}

func (h *hub) serve(ws *websocket.Conn) {
	me := &member{ws: ws}
	h.Lock()
	h.all[me] = true
	h.Unlock()
	for {
		kind, message, err := ws.ReadMessage()
		if err != nil {
			break
		}
		prepared, err := websocket.NewPreparedMessage(kind, message)
		if err != nil {
			break
		}
		h.Lock()
		for m := range h.all {
			m.Lock()
			_ = m.ws.WritePreparedMessage(prepared)
			m.Unlock()
		}
		h.Unlock()
	}
	h.Lock()
	delete(h.all, me)
	h.Unlock()
}

func reusePort(_, _ string, c syscall.RawConn) error {
	if _, wanted := os.LookupEnv("BENCH_REUSEPORT"); !wanted {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
	})
	if err != nil {
		return err
	}
	return failed
}

func listen(port, mode string, files []string) (net.Listener, error) {
	config := net.ListenConfig{Control: reusePort}
	plain, err := config.Listen(context.Background(), "tcp", "127.0.0.1:"+port)
	if err != nil || mode != "tls" {
		return plain, err
	}
	pair, err := tls.LoadX509KeyPair(files[0], files[1])
	return tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{pair}}), err
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: gorilla PORT MODE [CERT KEY]")
	}
	runtime.GOMAXPROCS(1)
	mode := os.Args[2]
	listener, err := listen(os.Args[1], mode, os.Args[3:])
	if err != nil {
		log.Fatal(err)
	}
	upgrader := websocket.Upgrader{EnableCompression: mode == "deflate"}
	everyone := &hub{all: map[*member]bool{}}
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		if mode == "broadcast" {
			everyone.serve(ws)
		} else {
			echo(ws)
		}
	})))
}
