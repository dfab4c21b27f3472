//go:build tools

// A peer, for side-by-side benchmarks: its operator computes, its adapter serves.
package tools

import (
	_ "github.com/kedacore/keda/v2/cmd/adapter"
	_ "github.com/kedacore/keda/v2/cmd/operator"
)
