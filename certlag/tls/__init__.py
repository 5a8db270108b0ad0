"""The TLS handshake with a pod, and the reasons why one fails."""
