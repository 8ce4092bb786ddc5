// Package names knows what a host name is, and which names a pattern covers. All names of banger-netd are in the form that
// Normalize gives them.
package names

import (
	"fmt"
	"strings"
)

// MaxLength of a name in its text form, without the dot at the end.
const MaxLength = 253

// Normalize returns a name in lower case and without the dot at its end. What cannot be a host name (empty or long labels, other
// characters than letters, digits, "-" and "_") is refused, as is an IPv4 address.
func Normalize(name string) (string, error) {
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" || len(name) > MaxLength {
		return "", fmt.Errorf("%q is not a host name", clip(name))
	}
	numeric := true
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", fmt.Errorf("%q is not a host name", clip(name))
		}
		numeric = true
		for i := range len(label) {
			c := label[i]
			switch {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c == '-', c == '_':
				numeric = false
			default:
				return "", fmt.Errorf("%q is not a host name (write other alphabets in their xn-- form)", clip(name))
			}
		}
		if strings.HasPrefix(label, "0x") && strings.Trim(label[2:], "0123456789abcdef") == "" {
			numeric = true
		}
	}
	// A last label that is a number makes an address of it for most resolvers: 1.2.3.4, 0x7f.1, 2130706433.
	if numeric {
		return "", fmt.Errorf("%q is not a host name but a form of an address", clip(name))
	}
	return name, nil
}

func clip(name string) string {
	if len(name) > 80 {
		return name[:80] + "..."
	}
	return name
}

// Pattern covers one name, all names below one ("*.example.com", not example.com itself), or all ("*").
type Pattern struct {
	suffix string
	below  bool
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (Pattern, error) {
	if text == "*" {
		return Pattern{below: true}, nil
	}
	rest, below := strings.CutPrefix(text, "*.")
	name, err := Normalize(rest)
	if err != nil {
		return Pattern{}, err
	}
	return Pattern{name, below}, nil
}

// Covers says whether a normalized name is covered.
func (p Pattern) Covers(name string) bool {
	if !p.below {
		return name == p.suffix
	}
	if p.suffix == "" {
		return name != ""
	}
	head, ok := strings.CutSuffix(name, p.suffix)
	return ok && len(head) > 1 && head[len(head)-1] == '.'
}

func (p Pattern) String() string {
	switch {
	case !p.below:
		return p.suffix
	case p.suffix == "":
		return "*"
	}
	return "*." + p.suffix
}
