//go:build tools

// etcd's server: the module's root package is the etcd command.
package tools

import _ "go.etcd.io/etcd/server/v3"
