//go:build tools

// Nodes and pods without a kubelet: kwok plays their life cycle from stage files.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
