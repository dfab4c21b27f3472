//go:build tools

// A peer, for side-by-side benchmarks.
package tools

import _ "sigs.k8s.io/prometheus-adapter/cmd/adapter"
