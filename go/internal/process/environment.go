package process

import (
	"fmt"
	"strings"

	"banger.dev/banger/internal/account"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// buildEnvironment lays the layers over each other, a later one winning: what a login would set, then the guest's
// environment, then the caller's. Names that do not have the form NAME=value are refused.
func buildEnvironment(user account.Account, shell string, onTerminal bool, layers ...[]string) ([]string, error) {
	base := []string{"PATH=" + defaultPath, "HOME=" + user.Home}
	if user.Name != "" {
		base = append(base, "USER="+user.Name, "LOGNAME="+user.Name)
	}
	if shell != "" {
		base = append(base, "SHELL="+shell)
	}
	if onTerminal {
		base = append(base, "TERM=xterm-256color")
	}
	merged := make([]string, 0, len(base)+16)
	position := map[string]int{}
	for _, layer := range append([][]string{base}, layers...) {
		for _, variable := range layer {
			name, _, ok := strings.Cut(variable, "=")
			if !ok || name == "" || strings.ContainsRune(variable, 0) {
				return nil, fmt.Errorf("environment entry %q is not of the form NAME=value", variable)
			}
			if at, known := position[name]; known {
				merged[at] = variable
			} else {
				position[name] = len(merged)
				merged = append(merged, variable)
			}
		}
	}
	return merged, nil
}

// variable returns the value of name in environment, or "".
func variable(environment []string, name string) string {
	for _, entry := range environment {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
