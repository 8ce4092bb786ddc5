// Package secrets puts values that the guest never sees in the place of what it has instead, in the headers of requests to the hosts
// that they are for.
package secrets

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/names"
	"golang.org/x/net/http/httpguts"
)

const (
	maxSecrets = 256
	// A shorter placeholder could be part of something else.
	minPlaceholder = 12
	maxValue       = 16 << 10
)

type secret struct {
	name, placeholder, value string
	hosts                    []names.Pattern
	// headers in canonical form; none: all.
	headers []string
}

// Set is all secrets of a VM. It is immutable; nil is the empty one. No error of this package has a value in it.
type Set struct {
	list      []secret
	authority *Authority
}

// Parse the words of the contract. Nil is none.
func Parse(words *netdv1.Secrets) (*Set, error) {
	if len(words.GetSecrets()) == 0 {
		return nil, nil
	}
	if len(words.Secrets) > maxSecrets {
		return nil, fmt.Errorf("a VM has at most %d secrets", maxSecrets)
	}
	authority, err := NewAuthority(words.CaCertificatePem, words.CaKeyPem)
	if err != nil {
		return nil, err
	}
	set := &Set{authority: authority}
	for _, word := range words.Secrets {
		one, err := parseSecret(word)
		if err != nil {
			return nil, fmt.Errorf("secret %q: %w", word.Name, err)
		}
		set.list = append(set.list, one)
	}
	return set, nil
}

func parseSecret(word *netdv1.Secret) (secret, error) {
	one := secret{name: word.Name, placeholder: word.Placeholder, value: string(word.Value)}
	switch {
	case one.name == "":
		return one, errors.New("it has no name")
	case len(one.placeholder) < minPlaceholder || !httpguts.ValidHeaderFieldValue(one.placeholder):
		return one, fmt.Errorf("its placeholder must be at least %d characters that a header can have", minPlaceholder)
	case one.value == "" || len(one.value) > maxValue || !httpguts.ValidHeaderFieldValue(one.value):
		return one, errors.New("its value cannot stand in a header")
	case len(word.Hosts) == 0:
		return one, errors.New("it is for no host")
	}
	for _, host := range word.Hosts {
		pattern, err := names.ParsePattern(host)
		if err != nil {
			return one, err
		}
		if host == "*" {
			return one, errors.New("it cannot be for every host")
		}
		one.hosts = append(one.hosts, pattern)
	}
	for _, header := range word.Headers {
		if !httpguts.ValidHeaderFieldName(header) {
			return one, fmt.Errorf("%q is not a header", header)
		}
		one.headers = append(one.headers, http.CanonicalHeaderKey(header))
	}
	return one, nil
}

func (s *secret) covers(host string) bool {
	return slices.ContainsFunc(s.hosts, func(p names.Pattern) bool { return p.Covers(host) })
}

// Covers says whether a secret is for a host, whose TLS then has to end here.
func (s *Set) Covers(host string) bool {
	return s != nil && slices.ContainsFunc(s.list, func(one secret) bool { return one.covers(host) })
}

// Authority that signs for hosts of secrets.
func (s *Set) Authority() *Authority { return s.authority }

// Apply puts values into the headers of a request to a host, and returns the names of the secrets that were used.
func (s *Set) Apply(host string, header http.Header) []string {
	if s == nil {
		return nil
	}
	var used []string
	for i := range s.list {
		if one := &s.list[i]; one.covers(host) && one.apply(header) {
			used = append(used, one.name)
		}
	}
	return used
}

func (s *secret) apply(header http.Header) bool {
	used := false
	for name, values := range header {
		if len(s.headers) > 0 && !slices.Contains(s.headers, http.CanonicalHeaderKey(name)) {
			continue
		}
		for i, value := range values {
			if replaced := s.replace(value); replaced != value {
				values[i] = replaced
				used = true
			}
		}
	}
	return used
}

// replace also looks into basic credentials, which are encoded.
func (s *secret) replace(value string) string {
	if strings.Contains(value, s.placeholder) {
		return strings.ReplaceAll(value, s.placeholder, s.value)
	}
	scheme, encoded, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "basic") {
		return value
	}
	plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil || !strings.Contains(string(plain), s.placeholder) {
		return value
	}
	return scheme + " " + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(plain), s.placeholder, s.value)))
}
